// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"slices"
	"sync"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// index tells whose something is that an event names by number. It is a hint:
// an event that it cannot place is caught by the next comparison.
type index struct {
	mu         sync.Mutex
	owners     map[desired.Owner]*marks
	namespaces map[int][]desired.Owner // by namespace id
	links      map[linkKey]linkMark
	names      map[string]bool // switch ends that are made, or about to be
}

// marks is what the index holds of one owner.
type marks struct {
	namespaces []int
	links      []linkKey
	names      []string
}

// linkKey is a link's number in the namespace that has the id here.
type linkKey struct {
	nsid, index int
}

// linkMark is how a link of ours looks while all is well: up, and so.
type linkMark struct {
	owner desired.Owner
	name  string
	mac   model.MAC
	mtu   int
	// alias and group are zero of a pod's end: these are the pod's to set.
	alias string
	group uint32
}

func podMark(p desired.Port) linkMark {
	return linkMark{owner: p.Owner, name: p.Pod.Name, mac: p.Pod.MAC, mtu: p.MTU}
}

func (d *Driver) switchMark(p desired.Port) linkMark {
	return linkMark{
		owner: p.Owner, name: linkName(p.Owner, p.Pod.Name), mac: d.linkMAC(p.SwitchMAC), mtu: p.MTU,
		alias: d.alias(p), group: portGroup,
	}
}

func newIndex() *index {
	return &index{
		owners:     map[desired.Owner]*marks{},
		namespaces: map[int][]desired.Owner{},
		links:      map[linkKey]linkMark{},
		names:      map[string]bool{},
	}
}

func (x *index) of(owner desired.Owner) *marks {
	if x.owners[owner] == nil {
		x.owners[owner] = &marks{}
	}
	return x.owners[owner]
}

func (x *index) setNamespace(owner desired.Owner, nsid int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.namespaces[nsid], owner) {
		x.namespaces[nsid] = append(x.namespaces[nsid], owner)
		m := x.of(owner)
		m.namespaces = append(m.namespaces, nsid)
	}
}

// setLink tells the number of a link, which takes the place of any link that had
// the name before.
func (x *index) setLink(key linkKey, mark linkMark) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.of(mark.owner)
	m.links = slices.DeleteFunc(m.links, func(old linkKey) bool {
		if old == key || old.nsid != key.nsid || x.links[old].owner != mark.owner || x.links[old].name != mark.name {
			return false
		}
		delete(x.links, old)
		return true
	})
	if x.links[key].owner != mark.owner {
		m.links = append(m.links, key)
	}
	x.links[key] = mark
}

func (x *index) expect(owner desired.Owner, names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, n := range names {
		if !x.names[n] {
			x.names[n] = true
			m := x.of(owner)
			m.names = append(m.names, n)
		}
	}
}

func (x *index) makes(name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.names[name]
}

// inNamespace lists the owners that have a port in the namespace.
func (x *index) inNamespace(nsid int) []desired.Owner {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.namespaces[nsid])
}

// link gives the mark of a link of ours.
func (x *index) link(key linkKey) (linkMark, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	mark, ok := x.links[key]
	return mark, ok
}

// numberOf gives the number that the switch end with this name was known by.
func (x *index) numberOf(owner desired.Owner, nsid int, name string) (int, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m := x.owners[owner]; m != nil {
		for _, key := range m.links {
			if mark := x.links[key]; key.nsid == nsid && mark.owner == owner && mark.name == name {
				return key.index, true
			}
		}
	}
	return 0, false
}

// forget drops an owner that was removed. Numbers that were given to another
// owner since stay with that one.
func (x *index) forget(owner desired.Owner) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.owners[owner]
	if m == nil {
		return
	}
	delete(x.owners, owner)
	for _, nsid := range m.namespaces {
		rest := slices.DeleteFunc(x.namespaces[nsid], func(o desired.Owner) bool { return o == owner })
		if x.namespaces[nsid] = rest; len(rest) == 0 {
			delete(x.namespaces, nsid)
		}
	}
	for _, key := range m.links {
		if x.links[key].owner == owner {
			delete(x.links, key)
		}
	}
	for _, name := range m.names {
		delete(x.names, name)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"maps"
	"net/netip"
	"strings"
	"sync"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
)

// known is what the driver remembers of one VPP, so that a change costs what the
// change is worth. It may be wrong where others had a hand in; whoever removes
// something looks at it before.
type known struct {
	conn *vppapi.Conn
	// ownTaps is whether VPP makes taps itself; else the relay does.
	ownTaps bool

	gate    *gate
	firstMu sync.Mutex // held while the first memif is made

	mu       sync.Mutex // guards what follows
	memifs   int        // how many there are
	tags     map[string]ifIndex
	names    map[string]string // of interfaces, by their tags
	owners   map[ifIndex]desired.Owner
	sockets  map[string]uint32
	tapIDs   map[string]uint32   // numbers of VPP's own taps, by their tags
	reserved map[string]bool     // sockets that VPP may not have yet
	checked  map[ifIndex][2]bool // sources are, or were when the number was another's
	making   map[string]int      // names that have no tag yet
	dead     map[routeKey]bool   // routes whose interface is gone
	// deadNexts are permanent neighbours that an interface had which is gone; the next
	// with its number has them.
	deadNexts map[ifIndex][]netip.Addr
	networks  map[string]network
}

func newKnown(conn *vppapi.Conn) *known {
	return &known{
		conn: conn, gate: newGate(), tags: map[string]ifIndex{}, names: map[string]string{}, owners: map[ifIndex]desired.Owner{}, sockets: map[string]uint32{}, reserved: map[string]bool{}, tapIDs: map[string]uint32{},
		checked: map[ifIndex][2]bool{}, making: map[string]int{},
	}
}

// learn takes what was read.
func (k *known) learn(v *view) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.tags)
	clear(k.owners)
	clear(k.names)
	for path, id := range k.sockets {
		if _, ok := v.sockets[path]; !ok && k.reserved[path] {
			v.sockets[path] = id // asked for meanwhile
		}
	}
	k.sockets = maps.Clone(v.sockets)
	k.networks = v.networks()
	k.memifs = v.memifs()
	k.deadNexts = map[ifIndex][]netip.Addr{}
	for next := range v.nexts {
		if v.ifs[next.out] == nil {
			k.deadNexts[next.out] = append(k.deadNexts[next.out], next.ip)
		}
	}
	k.dead = map[routeKey]bool{}
	for key, r := range v.routes {
		if v.isDead(r) {
			k.dead[key] = true
		}
	}
	for tag, i := range v.tags {
		k.add(tag, i.index, i.name)
	}
	k.learnTaps(v)
	for index, i := range v.ifs {
		if i.strict != [2]bool{} {
			k.checked[index] = i.strict
		}
	}
}

// add notes an interface; under mu.
func (k *known) add(tag string, index ifIndex, name string) {
	owner, _, isPort := parseTag(tag)
	if isPort || isNodes(tag) {
		k.tags[tag] = index
		k.owners[index] = owner
		k.names[tag] = name
	}
}

func (k *known) put(tag string, index ifIndex, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(tag, index, name)
}

func (k *known) name(tag string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.names[tag]
}

func (k *known) network(name string) (network, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.networks[name]
	return n, ok
}

func (k *known) find(tag string) (ifIndex, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	index, ok := k.tags[tag]
	return index, ok
}

func (k *known) forget(tag string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.owners, k.tags[tag])
	delete(k.tags, tag)
	delete(k.names, tag)
	delete(k.tapIDs, tag)
}

// takeDead reports whether a route is dead, and forgets that it is.
func (k *known) takeDead(key routeKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	isDead := k.dead[key]
	delete(k.dead, key)
	return isDead
}

// takeDeadNexts gives the neighbours that a new interface has of one before it.
func (k *known) takeDeadNexts(index ifIndex) []netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.deadNexts[index]
	delete(k.deadNexts, index)
	return list
}

// countMemifs adds to the number of memifs, and gives it.
func (k *known) countMemifs(more int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.memifs += more
	return k.memifs
}

// owner says whose an interface is.
func (k *known) owner(index ifIndex) (desired.Owner, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	owner, ok := k.owners[index]
	return owner, ok
}

// ports are the interfaces of all ports.
func (k *known) ports() []ifIndex {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []ifIndex
	for tag, i := range k.tags {
		if strings.HasPrefix(tag, portWord) {
			list = append(list, i)
		}
	}
	return list
}

// setMaking notes a name whose interface has no tag yet, until done is called.
func (k *known) setMaking(name string) (done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.making[name]++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.making[name]--; k.making[name] == 0 {
			delete(k.making, name)
		}
	}
}

func (k *known) makes(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.making[name] > 0
}

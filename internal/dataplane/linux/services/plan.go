// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// entry is a service as the table has it. What that has of it is not kept but
// rendered anew when it is needed: there may be ten thousand.
type entry struct {
	service    desired.Service
	all, local *block
}

// contents is what the table has of the service, but for its backends.
func (e *entry) contents() contents { return render(e.service, e.all, e.local) }

// hairpin is a pair of addresses of one pod, the first its packets' source.
type hairpin struct{ source, backend netip.Addr }

func newEntry(key desired.ServiceKey) *entry {
	return &entry{service: desired.Service{Key: key}, all: &block{}, local: &block{}}
}

// plan changes what is known to be made to what is asked for, and gives what turns
// the table into that. After an error everything is to be read again.
func (t *Table) plan(put []desired.Service, gone []desired.ServiceKey) (*change, error) {
	wanted := map[desired.ServiceKey]desired.Service{}
	for _, s := range put {
		wanted[s.Key] = s
	}
	c := newChange()
	before := map[hairpin]int{}
	for _, k := range gone {
		if _, stays := wanted[k]; !stays {
			t.discard(c, k, before)
		}
	}
	// All that is given up first: what one service gives up another may get.
	for k := range wanted {
		t.giveUp(k)
	}
	for _, p := range put {
		s, ok := wanted[p.Key]
		if !ok {
			continue // told twice
		}
		delete(wanted, s.Key)
		if err := t.set(c, s, before); err != nil {
			return nil, err
		}
	}
	t.pairUp(c, before)
	t.note(c)
	t.clear(c)
	return c, nil
}

// note has clients noted as long as there is a service for which they must be.
func (t *Table) note(c *change) {
	must := t.sticky > 0
	if must != t.noting || t.isNew {
		c.chains[notes] = nil
		if must {
			c.chains[notes] = noteRules()
		}
	}
	t.noting = must
}

// count keeps the number of services with affinity.
func (t *Table) count(was, is desired.Service) {
	if was.Affinity > 0 {
		t.sticky--
	}
	if is.Affinity > 0 {
		t.sticky++
	}
}

// clear has garbage removed, but what is made anew in its place.
func (t *Table) clear(c *change) {
	for k := range t.garbage.elements {
		c.dropElement(k)
	}
	for name := range t.garbage.chains {
		if _, made := c.chains[name]; !made {
			c.gone = append(c.gone, name)
		}
	}
	for name := range t.garbage.sets {
		if _, made := c.define[name]; made {
			c.empty = append(c.empty, name)
		} else {
			c.goneIn = append(c.goneIn, name)
		}
	}
}

func (t *Table) giveUp(k desired.ServiceKey) {
	e := t.made[k]
	if e == nil {
		return
	}
	for _, f := range e.service.Frontends {
		if at := keyOfFrontend(f, k); t.holders[at] == k {
			delete(t.holders, at)
		}
	}
}

// discard takes a service away.
func (t *Table) discard(c *change, k desired.ServiceKey, before map[hairpin]int) {
	e := t.made[k]
	if e == nil {
		return
	}
	t.giveUp(k)
	delete(t.made, k)
	c.dropAll(e.contents())
	backends := familyOf(k.IPv6).backends(k.Protocol)
	for _, b := range []*block{e.all, e.local} {
		for i := range b.slots {
			c.dropElement(elementKey{backends, number(b.offset + uint32(i))})
		}
		t.numbers.release(b)
	}
	t.pair(e.service.Backends, before, -1)
	t.pair(e.service.Leaving, before, -1)
	t.count(e.service, desired.Service{})
	c.flows.service(e.service, desired.Service{Key: k})
}

// set makes a service as it is told.
func (t *Table) set(c *change, s desired.Service, before map[hairpin]int) error {
	if err := check(s.Key); err != nil {
		return err
	}
	e, old := t.made[s.Key], newContents()
	if e != nil {
		old = e.contents()
	} else {
		e = newEntry(s.Key)
		t.made[s.Key] = e
	}
	for _, f := range s.Frontends {
		at := keyOfFrontend(f, s.Key)
		if holder, taken := t.holders[at]; taken && holder != s.Key {
			return fmt.Errorf("service %s: %s is that of service %s", s.Key, f, holder)
		}
		t.holders[at] = s.Key
	}
	was := e.service
	e.service = s
	e.service.Frontends = slices.Clone(s.Frontends)
	e.service.Backends, e.service.Leaving = slices.Clone(s.Backends), slices.Clone(s.Leaving)
	t.count(was, e.service)
	all, leaving := difference(was.Backends, e.service.Backends), difference(was.Leaving, e.service.Leaving)
	for _, m := range []moved{all, leaving} {
		t.pair(m.gone, before, -1)
		t.pair(m.come, before, +1)
	}
	parts := map[string]moved{"": all, onlyLocal: e.localDifference(was)}
	if err := t.setBlocks(c, e, parts); err != nil {
		return err
	}
	wanted := e.contents()
	c.replace(old, wanted)
	e.members(c, old, wanted, parts)
	c.flows.service(was, e.service)
	return nil
}

// check refuses what would not be a name in the table: nft reads these as text.
func check(k desired.ServiceKey) error {
	const longest = 63 // of a label of DNS; three of them and an address are a name in nftables
	for _, name := range []string{k.Service.Namespace, k.Service.Name, k.Port} {
		if len(name) > longest || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-.", r) }) {
			return fmt.Errorf("service %q: %q is no name of Kubernetes", k, name)
		}
	}
	if protocolNumber(k.Protocol) == 0 {
		return fmt.Errorf("service %s: its protocol is not known", k)
	}
	return nil
}

// setBlocks changes the numbers of backends: those of all, and where a frontend asks
// for them those of the ones on this node.
func (t *Table) setBlocks(c *change, e *entry, parts map[string]moved) error {
	backends := familyOf(e.service.Key.IPv6).backends(e.service.Key.Protocol)
	for _, part := range []struct {
		*block
		moved
	}{{e.all, parts[""]}, {e.local, parts[onlyLocal]}} {
		m, err := part.change(part.gone, part.come, &t.numbers)
		if err != nil {
			return err
		}
		for _, n := range m.drop {
			c.dropElement(elementKey{backends, number(n)})
		}
		for n, b := range m.add {
			c.add[elementKey{backends, number(n)}] = element{target(b), remark(b)}
		}
	}
	return nil
}

// localDifference compares the backends on this node that have numbers of their own
// with those that should have.
func (e *entry) localDifference(was desired.Service) moved {
	var before, after []desired.Backend
	if was.HasLocal() {
		before = was.OnNode()
	}
	if e.service.HasLocal() {
		after = e.service.OnNode()
	}
	return difference(before, after)
}

// backendsOf lists those of a service, or what serves on this node alone.
func backendsOf(s desired.Service, of string) []desired.Backend {
	if of == onlyLocal {
		return s.OnNode()
	}
	return s.Backends
}

// members keeps the sets of backends that clients may be held to, where the service
// has affinity.
func (e *entry) members(c *change, old, wanted contents, parts map[string]moved) {
	n := namesOf(e.service.Key)
	for of, m := range parts {
		set := n.of(membersOf(of))
		if _, is := wanted.sets[set]; !is {
			continue
		}
		if _, was := old.sets[set]; !was {
			for _, b := range backendsOf(e.service, of) {
				c.add[elementKey{set, target(b)}] = element{}
			}
			continue
		}
		for _, b := range m.gone {
			c.dropElement(elementKey{set, target(b)})
		}
		for _, b := range m.come {
			c.add[elementKey{set, target(b)}] = element{}
		}
		c.left = append(c.left, n.leaving(e, old, of, without(m.gone, m.come))...)
	}
}

// leaving lists the maps of clients that a backend has left, and that go on.
func (n names) leaving(e *entry, old contents, of string, gone map[netip.AddrPort]bool) []left {
	var list []left
	for _, port := range portsOf(e.service, of) {
		kept := n.kept(of, port)
		if _, was := old.sets[kept]; was && len(gone) > 0 {
			list = append(list, left{kept, port, gone})
		}
	}
	return list
}

// without leaves out backends of which another has address and port.
func without(list, others []desired.Backend) map[netip.AddrPort]bool {
	targets := serving(list)
	for k := range serving(others) {
		delete(targets, k)
	}
	return targets
}

// pair counts the pairs of addresses of these backends up or down; before gets what
// the counts were.
func (t *Table) pair(list []desired.Backend, before map[hairpin]int, by int) {
	for _, p := range hairpins(list) {
		if _, is := before[p]; !is {
			before[p] = t.hairpins[p]
		}
		t.hairpins[p] += by
	}
}

// hairpins lists the pairs of addresses of pods on this node, the source the first,
// that a pod which asks itself has.
func hairpins(list []desired.Backend) []hairpin {
	var pairs []hairpin
	for _, e := range list {
		if !e.Local {
			continue
		}
		pairs = append(pairs, hairpin{e.Address, e.Address})
		if e.Main.IsValid() && e.Main != e.Address {
			pairs = append(pairs, hairpin{e.Main, e.Address})
		}
	}
	return pairs
}

// hairpins are the pairs of the service.
func (e *entry) hairpins() []hairpin {
	return append(hairpins(e.service.Backends), hairpins(e.service.Leaving)...)
}

// pairUp changes the set of pairs by what their counts were.
func (t *Table) pairUp(c *change, before map[hairpin]int) {
	for p, was := range before {
		k := p.element()
		switch is := t.hairpins[p]; {
		case was == 0 && is > 0:
			c.add[k] = element{}
		case was > 0 && is == 0:
			c.dropElement(k)
		}
		if t.hairpins[p] == 0 {
			delete(t.hairpins, p)
		}
	}
}

func (p hairpin) element() elementKey {
	return elementKey{hairpinSet + familyOf(p.backend.Is6()).suffix, key(p.source.String(), p.backend.String())}
}

// protocolNumber is the kernel's for a protocol.
func protocolNumber(p model.Protocol) uint8 {
	switch p {
	case model.TCP:
		return 6
	case model.UDP:
		return 17
	case model.SCTP:
		return 132
	default:
		return 0
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// read makes what is known of the table what it has. A service that is not whole is
// not known; what is left of it is garbage.
func (t *Table) read(ctx context.Context) (map[desired.ServiceKey]desired.Service, error) {
	t.made = nil
	l, err := list(ctx)
	if err != nil {
		return nil, err
	}
	t.made, t.holders, t.hairpins = map[desired.ServiceKey]*entry{}, map[frontendKey]desired.ServiceKey{}, map[hairpin]int{}
	t.numbers, t.garbage, t.had, t.sticky = numbers{}, newContents(), t.pods, 0
	t.isThere = l != nil
	t.isNew = !t.isThere || !l.isCommon(t.pods)
	found := map[desired.ServiceKey]desired.Service{}
	if !t.isThere {
		return found, nil
	}
	t.noting = l.hasRules(notes, noteRules())
	for k, s := range l.services() {
		found[k] = desired.Service{Key: k}
		e, ok := l.entry(s)
		if t.isNew || !ok {
			continue
		}
		t.made[k] = e
		found[k] = e.service
		t.count(desired.Service{}, e.service)
		for _, f := range e.service.Frontends {
			t.holders[keyOfFrontend(f, k)] = k
		}
		for _, b := range []*block{e.all, e.local} {
			t.numbers.found(b)
		}
		t.pair(e.service.Backends, map[hairpin]int{}, +1)
		t.pair(e.service.Leaving, map[hairpin]int{}, +1)
	}
	if !t.isNew {
		t.sweep(l)
	}
	return found, nil
}

// isCommon reports whether what all services have in common is there.
func (l *listing) isCommon(pods []netip.Prefix) bool {
	for _, c := range hooks() {
		if l.hooks[c.Name] != fmt.Sprintf("%s %s %s", *c.Type, *c.Hook, *c.Priority) {
			return false
		}
	}
	for name, rules := range commonChains() {
		if !l.hasRules(name, rules) && (name != notes || !l.hasRules(name, noteRules())) {
			return false
		}
	}
	for _, o := range commonSets() {
		name := ""
		switch o := o.(type) {
		case *knftables.Set:
			name = o.Name
		case *knftables.Map:
			name = o.Name
		}
		if _, is := l.elements[name]; !is {
			return false
		}
	}
	wanted := map[string]bool{}
	for _, p := range pods {
		wanted[p.Masked().String()] = true
	}
	has := 0
	for _, f := range families() {
		for k := range l.elements[podSet+f.suffix] {
			has++
			if !wanted[k] {
				return false
			}
		}
	}
	return has == len(wanted)
}

func (l *listing) hasRules(chain string, rules []rule) bool {
	comments, is := l.chains[chain]
	return is && slices.EqualFunc(comments, rules, func(comment string, r rule) bool { return comment == r.comment })
}

// found is a service as its elements tell it, and where its backends are.
type found struct {
	desired.Service
	all, local *block
}

// services puts together what could be services; they may lack parts.
func (l *listing) services() map[desired.ServiceKey]*found {
	all := map[desired.ServiceKey]*found{}
	byName := map[string]*found{}
	for chain, comments := range l.chains {
		k, ok := keyOf(chain)
		if !ok {
			continue
		}
		n := namesOf(k)
		s := &found{Service: desired.Service{Key: k}}
		s.all = l.block(n, k.Protocol, comments)
		s.local = l.block(n, k.Protocol, l.chains[n.of(localChain)])
		for _, c := range comments {
			_, _ = fmt.Sscanf(c, "as for %d s at", &s.Affinity)
			_, _ = fmt.Sscanf(c, "no backend for %d s", &s.Affinity)
		}
		s.Backends = inOrder(s.all.slots)
		if len(s.OnNode()) == 0 {
			s.Leaving = inOrder(s.local.slots)
		}
		all[k] = s
		byName[n.suffix+"/"+n.service] = s
	}
	for _, f := range families() {
		for _, set := range []string{frontMap, portMap} {
			for k, e := range l.elements[set+f.suffix] {
				_, service, _ := strings.Cut(e.value, "/")
				s := byName[f.suffix+"/"+service]
				if front, ok := parseFrontend(k, e.comment); ok && s != nil {
					front.Sources = l.sources(f, keyOfFrontend(front, s.Key))
					s.Frontends = append(s.Frontends, front)
				}
			}
		}
	}
	return all
}

// block reads the backends of a chain that picks.
func (l *listing) block(n names, p model.Protocol, comments []string) *block {
	b := &block{}
	count := 0
	for _, c := range comments {
		_, _ = fmt.Sscanf(c, "%d from %d", &count, &b.offset)
	}
	backends := l.elements[n.backends(p)]
	for i := range count {
		e, is := backends[number(b.offset+uint32(i))]
		backend, ok := parseBackend(e.value, e.comment)
		if !is || !ok {
			return &block{}
		}
		b.slots = append(b.slots, backend)
	}
	return b
}

func parseFrontend(key, comment string) (desired.Frontend, bool) {
	var f desired.Frontend
	kind, local, _ := strings.Cut(comment, " ")
	f.Local = local == "local"
	for _, k := range []desired.FrontendKind{
		desired.FrontendCluster, desired.FrontendExternal, desired.FrontendLoadBalancer, desired.FrontendNode,
	} {
		if k.String() == kind {
			f.Kind = k
		}
	}
	parts := split(key)
	port, err := strconv.ParseUint(parts[len(parts)-1], 10, 16)
	f.Port = uint16(port)
	if err == nil && len(parts) == 3 {
		f.Address, err = netip.ParseAddr(parts[0])
	}
	return f, err == nil && f.Kind != 0
}

// sources reads who may ask at a frontend.
func (l *listing) sources(f family, k frontendKey) []netip.Prefix {
	n := names{family: f}
	var list []netip.Prefix
	for {
		e, is := l.elements[sourceNotes+f.suffix][n.sourceKey(k, len(list))]
		p, err := netip.ParsePrefix(e.comment)
		if !is || err != nil {
			return list
		}
		list = append(list, p)
	}
}

// entry is the service if everything of it is there.
func (l *listing) entry(s *found) (*entry, bool) {
	if s.Affinity > 0 && !l.hasRules(notes, noteRules()) {
		return nil, false
	}
	e := &entry{service: s.Service, all: s.all, local: s.local}
	parts := e.contents()
	if s.HasLocal() && !slices.Equal(inOrder(s.local.slots), s.OnNode()) {
		return nil, false
	}
	for name, rules := range parts.chains {
		if !l.hasRules(name, rules) {
			return nil, false
		}
	}
	for k, want := range parts.elements {
		if got, is := l.elements[k.set][k.key]; !is || got != want {
			return nil, false
		}
	}
	for k := range e.memberKeys() {
		if _, is := l.elements[k.set][k.key]; !is {
			return nil, false
		}
	}
	for name := range parts.sets {
		if _, is := l.elements[name]; !is {
			return nil, false
		}
	}
	for _, p := range e.hairpins() {
		k := p.element()
		if _, is := l.elements[k.set][k.key]; !is {
			return nil, false
		}
	}
	return e, !l.holdsToOthers(e)
}

// holdsToOthers reports whether a client is held to what is no backend any more: an
// agent ended, or failed, before it had that forgotten.
func (l *listing) holdsToOthers(e *entry) bool {
	n, members := namesOf(e.service.Key), e.memberKeys()
	for _, of := range []string{"", onlyLocal} {
		for _, port := range portsOf(e.service, of) {
			for _, held := range l.elements[n.kept(of, port)] {
				if !has(members, elementKey{n.of(membersOf(of)), key(held.value, strconv.Itoa(int(port)))}) {
					return true
				}
			}
		}
	}
	return false
}

// sweep finds what is in the table beside what is known.
func (t *Table) sweep(l *listing) {
	known := newContents()
	for name := range commonChains() {
		known.chains[name] = nil
	}
	for _, e := range t.made {
		parts := e.contents()
		maps.Copy(known.chains, parts.chains)
		maps.Copy(known.sets, parts.sets)
		maps.Copy(known.elements, parts.elements)
		maps.Copy(known.elements, e.memberKeys())
		backends := familyOf(e.service.Key.IPv6).backends(e.service.Key.Protocol)
		for _, b := range []*block{e.all, e.local} {
			for i := range b.slots {
				known.elements[elementKey{backends, number(b.offset + uint32(i))}] = element{}
			}
		}
		for _, p := range e.hairpins() {
			known.elements[p.element()] = element{}
		}
	}
	for name := range l.chains {
		if _, is := known.chains[name]; !is {
			t.garbage.chains[name] = nil
		}
	}
	for set, elements := range l.elements {
		t.sweepSet(set, elements, known)
	}
}

func (t *Table) sweepSet(set string, elements map[string]element, known contents) {
	name, _, isOwn := strings.Cut(set, "/")
	if _, is := known.sets[set]; isOwn && !is {
		t.garbage.sets[set] = nil
		return
	}
	if strings.HasPrefix(name, keptMap) || strings.HasPrefix(name, podSet) {
		return
	}
	for k := range elements {
		if at := (elementKey{set, k}); !has(known.elements, at) {
			t.garbage.elements[at] = element{}
		}
	}
}

func has[K comparable, V any](m map[K]V, k K) bool {
	_, is := m[k]
	return is
}

// memberKeys lists the elements of the sets of backends that clients may be held to.
func (e *entry) memberKeys() map[elementKey]element {
	keys := map[elementKey]element{}
	if e.service.Affinity == 0 {
		return keys
	}
	n := namesOf(e.service.Key)
	for _, of := range []string{"", onlyLocal} {
		set := n.of(membersOf(of))
		if of == "" || e.service.HasLocal() {
			for _, b := range backendsOf(e.service, of) {
				keys[elementKey{set, target(b)}] = element{}
			}
		}
	}
	return keys
}

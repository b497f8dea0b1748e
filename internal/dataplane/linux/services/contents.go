// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// contents is a part of the table: chains, sets and maps of single services, and
// elements of any.
type contents struct {
	chains   map[string][]rule
	sets     map[string]knftables.Object
	elements map[elementKey]element
}

// elementKey names an element: its set or map, and its key as it is written.
type elementKey struct{ set, key string }

// element is what an element has beside its key.
type element struct{ value, comment string }

func newContents() contents {
	return contents{chains: map[string][]rule{}, sets: map[string]knftables.Object{}, elements: map[elementKey]element{}}
}

// key writes a key, or a value, of several parts.
func key(parts ...string) string { return strings.Join(parts, " . ") }

func split(key string) []string { return strings.Split(key, " . ") }

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// isMap tells by its name what a set of the table is.
func isMap(set string) bool {
	name, _, _ := strings.Cut(set, "/")
	switch strings.TrimRight(name, "46") {
	case frontMap, portMap, stickyMap, stickyPort:
		return true
	default:
		return strings.HasPrefix(name, backendMap) || strings.HasPrefix(name, keptMap)
	}
}

func object(k elementKey, e element) *knftables.Element {
	o := &knftables.Element{Key: split(k.key)}
	if isMap(k.set) {
		o.Map = k.set
	} else {
		o.Set = k.set
	}
	if e.value != "" {
		o.Value = split(e.value)
	}
	if e.comment != "" {
		o.Comment = &e.comment
	}
	return o
}

// change is what turns one part of the table into another. Its steps are in the order
// in which they can be taken.
type change struct {
	drop   []elementKey
	define map[string]knftables.Object // sets and maps
	empty  []string                    // sets that are there, and have what they should not
	chains map[string][]rule           // to make, or to fill anew
	add    map[elementKey]element
	gone   []string // chains
	goneIn []string // sets and maps

	flows flows
	left  []left
}

func newChange() *change {
	return &change{define: map[string]knftables.Object{}, chains: map[string][]rule{}, add: map[elementKey]element{}}
}

// dropElement has an element removed; it may be added again.
func (c *change) dropElement(k elementKey) { c.drop = append(c.drop, k) }

// dropAll removes a part of the table.
func (c *change) dropAll(old contents) {
	c.drop = slices.AppendSeq(c.drop, maps.Keys(old.elements))
	c.gone = slices.AppendSeq(c.gone, maps.Keys(old.chains))
	c.goneIn = slices.AppendSeq(c.goneIn, maps.Keys(old.sets))
}

// replace turns one part of the table into another.
func (c *change) replace(old, wanted contents) {
	for k, e := range old.elements {
		if with, stays := wanted.elements[k]; !stays || with != e {
			c.dropElement(k)
		}
	}
	for k, e := range wanted.elements {
		if was, is := old.elements[k]; !is || was != e {
			c.add[k] = e
		}
	}
	for name, rules := range wanted.chains {
		if was, is := old.chains[name]; !is || !slices.Equal(was, rules) {
			c.chains[name] = rules
		}
	}
	for name, o := range wanted.sets {
		if _, is := old.sets[name]; !is {
			c.define[name] = o
		}
	}
	c.gone = append(c.gone, missing(old.chains, wanted.chains)...)
	c.goneIn = append(c.goneIn, missing(old.sets, wanted.sets)...)
}

// missing are the names of old that are not among those of wanted.
func missing[T any](old, wanted map[string]T) []string {
	var gone []string
	for name := range old {
		if _, stays := wanted[name]; !stays {
			gone = append(gone, name)
		}
	}
	return gone
}

// transaction writes the change down.
func (c *change) transaction(t *Table) *knftables.Transaction {
	tx := t.nft.NewTransaction()
	if t.isNew {
		addCommon(tx)
	}
	if t.isNew || !slices.Equal(t.pods, t.had) {
		setPods(tx, t.pods)
	}
	for _, k := range c.drop {
		tx.Delete(object(k, element{}))
	}
	for _, name := range sorted(c.define) {
		tx.Add(c.define[name])
	}
	for _, name := range c.empty {
		tx.Flush(c.define[name])
	}
	c.writeChains(tx)
	for k, e := range c.add {
		tx.Add(object(k, e))
	}
	for _, name := range c.gone {
		tx.Flush(&knftables.Chain{Name: name})
	}
	for _, name := range c.gone {
		tx.Delete(&knftables.Chain{Name: name})
	}
	for _, name := range c.goneIn {
		if isMap(name) {
			tx.Delete(&knftables.Map{Name: name})
		} else {
			tx.Delete(&knftables.Set{Name: name})
		}
	}
	return tx
}

// writeChains makes all chains before any rule, as rules lead to chains.
func (c *change) writeChains(tx *knftables.Transaction) {
	names := sorted(c.chains)
	for _, name := range names {
		tx.Add(&knftables.Chain{Name: name})
	}
	for _, name := range names {
		tx.Flush(&knftables.Chain{Name: name})
		addRules(tx, name, c.chains[name])
	}
}

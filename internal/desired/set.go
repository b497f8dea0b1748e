// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired

import (
	"cmp"
	"slices"
	"strings"
)

// Set is a collection of objects by key.
type Set map[Key]Object

// NewSet collects objects; of two with one key the later wins.
func NewSet(objects ...Object) Set {
	s := make(Set, len(objects))
	s.Add(objects...)
	return s
}

// Add puts objects into the set, replacing those with the same key.
func (s Set) Add(objects ...Object) {
	for _, o := range objects {
		s[o.Key()] = o
	}
}

// Sorted lists the objects in the order in which they are made: by kind, then
// owner, then name.
func (s Set) Sorted() []Object {
	list := make([]Object, 0, len(s))
	for _, o := range s {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Object) int { return compareKeys(a.Key(), b.Key()) })
	return list
}

// String is one line per object in the order of Sorted: what golden files hold
// and what the operator sees.
func (s Set) String() string {
	var b strings.Builder
	for _, o := range s.Sorted() {
		b.WriteString(o.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Change is one step from what is to what should be. Old is nil for an object
// to be made, New is nil for one to be removed; both are set, with the same
// key, where the content differs, or where it has to be made again.
type Change struct {
	Old, New Object
}

// Key is the key of the object that the change is about.
func (c Change) Key() Key {
	if c.New != nil {
		return c.New.Key()
	}
	return c.Old.Key()
}

// Interface names the pod interface that the change is about; empty for what is the
// node's.
func (c Change) Interface() string {
	if c.New != nil {
		return interfaceOf(c.New)
	}
	return interfaceOf(c.Old)
}

// String renders the change as a diff would: -, + or ~ and the object.
func (c Change) String() string {
	switch {
	case c.Old == nil:
		return "+ " + c.New.String()
	case c.New == nil:
		return "- " + c.Old.String()
	default:
		return "~ " + c.New.String()
	}
}

// Diff lists the changes that turn have into want. Removals come first, in
// reverse order of making, because a new object may need the name of an old
// one of another kind; then what is made or altered, in order of making. What
// leads to a port that is made or altered is made again: it went with the old
// link where the port had to be replaced.
func Diff(have, want Set) []Change {
	var gone, rest []Change
	for k, old := range have {
		if _, ok := want[k]; !ok {
			gone = append(gone, Change{Old: old})
		}
	}
	ports := map[portName]bool{}
	for k, object := range want {
		old, ok := have[k]
		switch {
		case !ok:
			rest = append(rest, Change{New: object})
		case !object.Equal(old):
			rest = append(rest, Change{Old: old, New: object})
		default:
			continue
		}
		if _, isPort := PortOf(object); isPort {
			ports[portName{k.Owner, k.Name}] = true
		}
	}
	for k, object := range want {
		if old, ok := have[k]; ok && object.Equal(old) && ports[leadsTo(object)] {
			rest = append(rest, Change{Old: old, New: object})
		}
	}
	slices.SortFunc(gone, func(a, b Change) int { return compareKeys(b.Key(), a.Key()) })
	slices.SortFunc(rest, func(a, b Change) int { return compareKeys(a.Key(), b.Key()) })
	return append(gone, rest...)
}

type portName struct {
	owner Owner
	name  string
}

// leadsTo is the port that an object hangs on; the zero value for one that
// hangs on none.
func leadsTo(o Object) portName {
	switch o := o.(type) {
	case Route:
		return portName{o.Owner, o.Interface}
	case Neighbor:
		return portName{o.Owner, o.Interface}
	case Network, HostLink, Veth, Tap, Memif:
	}
	return portName{}
}

func compareKeys(a, b Key) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Owner.ContainerID, b.Owner.ContainerID),
		cmp.Compare(a.Owner.IfName, b.Owner.IfName),
		cmp.Compare(a.Name, b.Name),
	)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// Summary says in words what a pod's interfaces have that they should not, and
// what they lack, as a part of a sentence: "eth0 has MTU 1400, not 1450, lacks
// address 10.1.1.2/32; tap1 is missing". What hangs on an interface that is
// missing is not told of, nor what is only to be made again.
func Summary(changes []Change) string {
	var names []string
	faults := map[string]*fault{}
	for _, c := range changes {
		name := c.Interface()
		f := faults[name]
		if f == nil {
			f = &fault{}
			faults[name] = f
			names = append(names, name)
		}
		f.add(c)
	}
	var list []string
	for _, name := range names {
		if text := faults[name].text(); text != "" {
			list = append(list, strings.TrimSpace(name+" "+text))
		}
	}
	return strings.Join(list, "; ")
}

// fault is what is wrong with one interface.
type fault struct {
	missing   bool
	is, lacks []string
}

func (f *fault) text() string {
	switch {
	case f.missing:
		return "is missing"
	case len(f.lacks) > 0:
		return strings.Join(append(f.is, "lacks "+strings.Join(f.lacks, ", ")), ", ")
	default:
		return strings.Join(f.is, ", ")
	}
}

func (f *fault) add(c Change) {
	switch {
	case c.New == nil:
		f.note("has a %s too many", c.Old.Key().Kind)
		return
	case c.Old != nil && c.New.Equal(c.Old):
		return
	}
	switch want := c.New.(type) {
	case Veth, Tap, Memif:
		f.port(c)
	case Route:
		f.lack("route " + want.Dst.String() + " at the switch")
	case Neighbor:
		if have, ok := c.Old.(Neighbor); ok {
			f.note("has MAC %s for %s at the switch, not %s", have.MAC, want.IP, want.MAC)
		} else {
			f.lack("neighbor " + want.IP.String() + " at the switch")
		}
	case Network:
		f.note("network %s is not as it should be", want.Name)
	case HostLink:
		f.note("link %s to the switch is not as it should be", want.Name)
	}
}

// port compares two ports, of which a driver gives what is not in order the zero
// value.
func (f *fault) port(c Change) {
	have, found := PortOf(c.Old)
	want, _ := PortOf(c.New)
	if !found {
		f.missing = true
		return
	}
	switch {
	case have.MTU == 0:
		f.note("has ends of different MTU")
	case have.MTU != want.MTU:
		f.note("has MTU %d, not %d", have.MTU, want.MTU)
	}
	f.mac(have.Pod.MAC, want.Pod.MAC, "")
	f.mac(have.SwitchMAC, want.SwitchMAC, " at the switch")
	if have.PodName != want.PodName || have.CNINetwork != want.CNINetwork {
		f.note("is not marked as this pod's at the switch")
	}
	f.relayed(c)
	lackAny(f, have.Pod.Addresses, want.Pod.Addresses, "address ")
	for _, n := range want.Pod.Neighbors {
		if !slices.Contains(have.Pod.Neighbors, n) {
			f.lack("neighbor " + n.IP.String())
		}
	}
	lackAny(f, have.Pod.Routes, want.Pod.Routes, "")
	lackAny(f, have.Pod.Rules, want.Pod.Rules, "")
	if f.text() == "" {
		f.note("is not as it was made")
	}
}

func (f *fault) mac(have, want model.MAC, where string) {
	switch {
	case have == want:
	case have.IsZero():
		f.note("is down%s", where)
	default:
		f.note("has MAC %s%s, not %s", have, where, want)
	}
}

// relayed compares what the relay holds of a port.
func (f *fault) relayed(c Change) {
	var have, want int
	switch port := c.New.(type) {
	case Tap:
		if old, ok := c.Old.(Tap); ok {
			have, want = old.Queues, port.Queues
		}
	case Memif:
		if old, ok := c.Old.(Memif); ok {
			have, want = old.Queues, port.Queues
			if !slices.Equal(old.Gateways, port.Gateways) {
				f.lack("the gateways' addresses at the switch")
			}
		}
	case Network, HostLink, Veth, Route, Neighbor:
	}
	switch have {
	case want:
	case 0:
		f.note("is not held by the relay as it should be")
	default:
		f.note("has %d queues, not %d", have, want)
	}
}

func (f *fault) note(format string, args ...any) { f.is = append(f.is, fmt.Sprintf(format, args...)) }
func (f *fault) lack(what string)                { f.lacks = append(f.lacks, what) }

// lackAny notes what of a list there is not.
func lackAny[T interface {
	comparable
	fmt.Stringer
}](f *fault, have, want []T, kind string) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			f.lack(kind + w.String())
		}
	}
}

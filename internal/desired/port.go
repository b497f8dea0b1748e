// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// Port is what every pod interface has, whatever its type: an end in the pod
// and an end in a network of the switch. How the switch names its end is the
// driver's business. The pod's end of a memif is an application's: of it no more
// is listed than where it is, and the MAC and addresses that it was told to use.
type Port struct {
	Owner Owner
	// Pod is the pod's side.
	Pod PodEnd
	// Network names the network that the other end is in; model.StubNetwork
	// leaves it unattached.
	Network string
	// SwitchMAC is the address of the switch's end.
	SwitchMAC model.MAC
	// MTU is that of both ends, in bytes without the Ethernet header.
	MTU int
	// PodName is for people: which pod the port belongs to.
	PodName string
	// CNINetwork is the CNI network configuration that the port was made for. The
	// switch's end remembers it, for an agent whose journal is lost.
	CNINetwork string
}

// PodEnd is the pod's side of a port: the link and what polynic configures on
// it. What the pod's owner adds by hand is not listed and is left alone.
type PodEnd struct {
	Netns model.Netns
	Name  string
	MAC   model.MAC
	// Addresses, IPv4 before IPv6; IPv6 ones are set without duplicate address
	// detection.
	Addresses []netip.Prefix
	Neighbors []PodNeighbor
	// Routes are in the order in which they must be made: a gateway's own
	// route before the routes through it.
	Routes []PodRoute
	Rules  []PodRule
}

// PodNeighbor is a permanent neighbour entry in the pod.
type PodNeighbor struct {
	IP  netip.Addr
	MAC model.MAC
}

// MainTable is the kernel's main routing table (RT_TABLE_MAIN).
const MainTable = 254

// PodRoute is a route in the pod, through the port's own link.
type PodRoute struct {
	Table int
	Dst   netip.Prefix
	// Via is the gateway; the zero value makes a link-scope route.
	Via netip.Addr
}

// PodRule is a policy routing rule in the pod: packets from the address, or,
// where From is the zero value, packets of sockets bound to the port's link
// (FRA_OIFNAME), look into the table.
type PodRule struct {
	Priority int
	IPv6     bool
	From     netip.Prefix
	Table    int
}

// Veth is a port made of a veth pair: one end born in the pod.
type Veth struct{ Port }

// Tap is a port whose pod end is a tap device with a file side in the switch.
type Tap struct {
	Port
	// Queues is the number of queue pairs, 1 to 256, fixed at birth.
	Queues int
}

// Key implements Object.
func (v Veth) Key() Key { return v.key(KindVeth) }

// Key implements Object.
func (t Tap) Key() Key { return t.key(KindTap) }

func (p Port) key(kind Kind) Key {
	return Key{Owner: p.Owner, Kind: kind, Name: p.Pod.Name}
}

// Equal implements Object.
func (v Veth) Equal(o Object) bool {
	other, ok := o.(Veth)
	return ok && v.equal(other.Port)
}

// Equal implements Object.
func (t Tap) Equal(o Object) bool {
	other, ok := o.(Tap)
	return ok && t.Queues == other.Queues && t.equal(other.Port)
}

func (p Port) equal(o Port) bool {
	return p.Owner == o.Owner && p.Network == o.Network && p.SwitchMAC == o.SwitchMAC &&
		p.MTU == o.MTU && p.PodName == o.PodName && p.CNINetwork == o.CNINetwork && p.Pod.Equal(o.Pod)
}

// Equal reports whether both ends are the same, the order of routes included.
func (e PodEnd) Equal(o PodEnd) bool {
	return e.Netns == o.Netns && e.Name == o.Name && e.MAC == o.MAC &&
		slices.Equal(e.Addresses, o.Addresses) && slices.Equal(e.Neighbors, o.Neighbors) &&
		slices.Equal(e.Routes, o.Routes) && slices.Equal(e.Rules, o.Rules)
}

// String implements Object.
func (v Veth) String() string { return v.Key().String() + v.text() }

// String implements Object.
func (t Tap) String() string {
	return t.Key().String() + t.text() + fmt.Sprintf(" queues %d", t.Queues)
}

func (p Port) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, " pod %s network %s mtu %d mac %s switch-mac %s",
		p.PodName, p.Network, p.MTU, p.Pod.MAC, p.SwitchMAC)
	if p.CNINetwork != "" {
		fmt.Fprintf(&b, " cni-network %s", p.CNINetwork)
	}
	for _, a := range p.Pod.Addresses {
		fmt.Fprintf(&b, " address %s", a)
	}
	for _, n := range p.Pod.Neighbors {
		fmt.Fprintf(&b, " neighbor %s=%s", n.IP, n.MAC)
	}
	for _, r := range p.Pod.Routes {
		fmt.Fprintf(&b, " %s", r)
	}
	for _, r := range p.Pod.Rules {
		fmt.Fprintf(&b, " %s", r)
	}
	return b.String()
}

// String renders the route as iproute2 would: route DST [via GW] [table N].
func (r PodRoute) String() string {
	s := "route " + r.Dst.String()
	if r.Via.IsValid() {
		s += " via " + r.Via.String()
	}
	if r.Table != MainTable {
		s += fmt.Sprintf(" table %d", r.Table)
	}
	return s
}

// String renders the rule: rule PRIORITY from ADDRESS|oif table N.
func (r PodRule) String() string {
	match := "oif"
	if r.From.IsValid() {
		match = "from " + r.From.String()
	}
	if r.IPv6 && !r.From.IsValid() {
		match += " inet6"
	}
	return fmt.Sprintf("rule %d %s table %d", r.Priority, match, r.Table)
}

// PortOf returns the port inside an object that is one.
func PortOf(o Object) (Port, bool) {
	switch o := o.(type) {
	case Veth:
		return o.Port, true
	case Tap:
		return o.Port, true
	case Memif:
		return o.Port, true
	case Network, HostLink, Neighbor, Route:
		return Port{}, false
	}
	return Port{}, false
}

func interfaceOf(o Object) string {
	switch o := o.(type) {
	case Neighbor:
		return o.Interface
	case Route:
		return o.Interface
	case Network, HostLink, Veth, Tap, Memif:
	}
	p, _ := PortOf(o)
	return p.Pod.Name
}

func (Veth) object() {}
func (Tap) object()  {}

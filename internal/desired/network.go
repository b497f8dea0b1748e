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

// Network is one network of the switch on this node.
type Network struct {
	Name string
	// Gateways are the addresses the network answers for towards its pods, one
	// per family; none on a network without addresses.
	Gateways []netip.Addr
	// Pods are the ranges from which this node's pods have their addresses.
	Pods []netip.Prefix
	// Inside are the ranges reached without address translation (the pods of
	// all nodes); only meaningful with Masquerade.
	Inside []netip.Prefix
	// Masquerade hides pods behind the node's address on their way to anything
	// that is not Inside.
	Masquerade bool
	// Table is the number of the switch's routing table; 0 where the switch has the
	// network elsewhere than in a table of its own.
	Table uint32
}

// Route sends one address of a pod to its port, in the network's table.
type Route struct {
	Owner     Owner
	Network   string
	Interface string
	Dst       netip.Prefix
}

// Neighbor is the permanent neighbour entry of a pod's address on its port.
type Neighbor struct {
	Owner     Owner
	Network   string
	Interface string
	IP        netip.Addr
	MAC       model.MAC
}

// Key implements Object.
func (n Network) Key() Key { return Key{Kind: KindNetwork, Name: n.Name} }

// Key implements Object.
func (r Route) Key() Key {
	return Key{Owner: r.Owner, Kind: KindRoute, Name: r.Network + " " + r.Dst.String()}
}

// Key implements Object.
func (n Neighbor) Key() Key {
	return Key{Owner: n.Owner, Kind: KindNeighbor, Name: n.Network + " " + n.IP.String()}
}

// Equal implements Object.
func (n Network) Equal(o Object) bool {
	other, ok := o.(Network)
	return ok && n.Name == other.Name && n.Masquerade == other.Masquerade && n.Table == other.Table &&
		slices.Equal(n.Gateways, other.Gateways) && slices.Equal(n.Pods, other.Pods) &&
		slices.Equal(n.Inside, other.Inside)
}

// Equal implements Object.
func (r Route) Equal(o Object) bool {
	other, ok := o.(Route)
	return ok && r == other
}

// Equal implements Object.
func (n Neighbor) Equal(o Object) bool {
	other, ok := o.(Neighbor)
	return ok && n == other
}

// String implements Object.
func (n Network) String() string {
	var b strings.Builder
	b.WriteString(n.Key().String())
	for _, g := range n.Gateways {
		fmt.Fprintf(&b, " gateway %s", g)
	}
	for _, p := range n.Pods {
		fmt.Fprintf(&b, " pods %s", p)
	}
	for _, p := range n.Inside {
		fmt.Fprintf(&b, " inside %s", p)
	}
	if n.Masquerade {
		b.WriteString(" masquerade")
	}
	if n.Table != 0 {
		fmt.Fprintf(&b, " table %d", n.Table)
	}
	return b.String()
}

// String implements Object.
func (r Route) String() string { return r.Key().String() + " dev " + r.Interface }

// String implements Object.
func (n Neighbor) String() string {
	return n.Key().String() + " dev " + n.Interface + " mac " + n.MAC.String()
}

func (Network) object()  {}
func (Route) object()    {}
func (Neighbor) object() {}

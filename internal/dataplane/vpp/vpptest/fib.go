// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"maps"
	"net/netip"
	"slices"

	"go.fd.io/govpp/binapi/fib_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_neighbor"
)

// Whose a route is (fib_source_t in vnet/fib/fib_source.h). Of several the first
// counts.
const (
	sourceSpecial   = 1
	sourceInterface = 4
	sourceAPI       = 8
	sourceNeighbor  = 15
	sourceDefault   = 20
)

// entries are the routes of one table, each by who has the say.
type entries map[netip.Prefix]ip.IPRouteV2

// add adds a route unless one of a better source is there.
func (e entries) add(p netip.Prefix, source uint8, paths ...fib_types.FibPath) {
	if old, taken := e[p.Masked()]; taken && old.Src <= source {
		return
	}
	e[p.Masked()] = ip.IPRouteV2{Prefix: toPrefix(p), Src: source, NPaths: uint8(len(paths)), Paths: paths}
}

// routes are all routes of a table: those of clients, and what VPP has of its own.
func (w *world) routes(k tableKey) []ip.IPRouteV2 {
	t, known := w.tables[k]
	if !known {
		return nil
	}
	e := entries{}
	e.addSpecials(k.family)
	for _, i := range w.sorted() {
		if i.tables[k.family] != k.id {
			continue
		}
		if i.admin {
			e.addInterface(i, k.family)
		}
	}
	w.addNeighbors(e, k)
	for _, r := range t.routes {
		e.add(r.named, sourceAPI, r.paths...)
	}
	var all []ip.IPRouteV2
	for _, p := range slices.SortedFunc(maps.Keys(e), comparePrefixes) {
		r := e[p]
		r.TableID = k.id
		all = append(all, r)
	}
	return all
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func protoOf(f family) fib_types.FibPathNhProto {
	if f == v4 {
		return fib_types.FIB_API_PATH_NH_PROTO_IP4
	}
	return fib_types.FIB_API_PATH_NH_PROTO_IP6
}

func dropPath(f family) fib_types.FibPath {
	return fib_types.FibPath{SwIfIndex: none, Weight: 1, Type: fib_types.FIB_API_PATH_TYPE_DROP, Proto: protoOf(f)}
}

// pathTo is the path to an address on an interface; the zero address is the link
// itself.
func pathTo(index uint32, f family, a netip.Addr) fib_types.FibPath {
	p := fib_types.FibPath{SwIfIndex: index, Weight: 1, Proto: protoOf(f)}
	if a.IsValid() {
		p.Nh.Address = toAddress(a).Un
	}
	return p
}

// addSpecials adds what every table has.
func (e entries) addSpecials(f family) {
	if f == v6 {
		e.add(netip.MustParsePrefix("::/0"), sourceDefault, dropPath(f))
		local := fib_types.FibPath{SwIfIndex: none, Weight: 1, Proto: protoOf(f)}
		e.add(netip.MustParsePrefix("fe80::/10"), sourceSpecial, local)
		return
	}
	e.add(netip.MustParsePrefix("0.0.0.0/0"), sourceDefault, dropPath(f))
	for p, source := range map[string]uint8{
		"0.0.0.0/32": sourceDefault, "224.0.0.0/4": sourceSpecial, "240.0.0.0/4": sourceSpecial, "255.255.255.255/32": sourceDefault,
	} {
		e.add(netip.MustParsePrefix(p), source, dropPath(f))
	}
}

// addInterface adds what follows from an interface's addresses while it is up.
func (e entries) addInterface(i *iface, f family) {
	for _, own := range i.addresses {
		if familyOf(own.Addr()) != f {
			continue
		}
		host := own.Addr().BitLen()
		local := pathTo(i.index, f, own.Addr())
		local.Type = fib_types.FIB_API_PATH_TYPE_LOCAL
		e.add(netip.PrefixFrom(own.Addr(), host), sourceInterface, local)
		if own.Bits() == host {
			continue
		}
		subnet := own // as it was told
		if f == v6 {
			subnet = own.Masked()
		}
		e.add(subnet, sourceInterface, pathTo(i.index, f, netip.Addr{}))
		if f == v4 && own.Bits() <= 30 {
			e.add(netip.PrefixFrom(own.Masked().Addr(), host), sourceInterface, dropPath(f))
			e.add(netip.PrefixFrom(lastOf(own), host), sourceInterface, dropPath(f))
		}
	}
}

// lastOf is the broadcast address of an IPv4 subnet.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

// addNeighbors adds the routes to the neighbours of the table's interfaces. Those
// of an interface that is gone are in table 0.
func (w *world) addNeighbors(e entries, in tableKey) {
	for k, n := range w.neighbors {
		if familyOf(k.address) != in.family || n.flags&ip_neighbor.IP_API_NEIGHBOR_FLAG_NO_FIB_ENTRY != 0 {
			continue
		}
		var id uint32
		if i, there := w.interfaces[k.index]; there {
			id = i.tables[in.family]
		}
		if id == in.id {
			e.add(netip.PrefixFrom(k.address, k.address.BitLen()), sourceNeighbor, pathTo(k.index, in.family, k.address))
		}
	}
}

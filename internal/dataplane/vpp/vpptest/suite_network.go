// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/ethernet_types"
	"go.fd.io/govpp/binapi/fib_types"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_neighbor"
	"go.fd.io/govpp/binapi/ip_types"
)

func pfx(text string) ip_types.Prefix { return toPrefix(netip.MustParsePrefix(text)) }

// AddAddress is the request that gives an interface an address, such as
// 10.1.0.1/24.
func AddAddress(swIfIndex uint32, prefix string) *interfaces.SwInterfaceAddDelAddress {
	return add(interface_types.InterfaceIndex(swIfIndex), prefix)
}

// add and del give an interface an address, and take it away.
func add(index interface_types.InterfaceIndex, text string) *interfaces.SwInterfaceAddDelAddress {
	return &interfaces.SwInterfaceAddDelAddress{SwIfIndex: index, IsAdd: true, Prefix: ip_types.AddressWithPrefix(pfx(text))}
}

func del(index interface_types.InterfaceIndex, text string) *interfaces.SwInterfaceAddDelAddress {
	q := add(index, text)
	q.IsAdd = false
	return q
}

// addressesOf are the addresses of an interface.
func (s *suite) addressesOf(index interface_types.InterfaceIndex) []string {
	s.Helper()
	var all []string
	for f := range families {
		for _, d := range List[ip.IPAddressDetails](s.peer, &ip.IPAddressDump{SwIfIndex: index, IsIPv6: f == v6}) {
			all = append(all, prefix(ip_types.Prefix(d.Prefix)).String())
		}
	}
	return all
}

func (s *suite) addresses() {
	a, b := s.loopback(1, 0), s.loopback(2, 0)
	type reply = interfaces.SwInterfaceAddDelAddressReply
	refused[reply](s, api.INVALID_SW_IF_INDEX, add(nobody, "10.1.0.1/24"))
	refused[reply](s, ok, add(a, "10.1.0.1/24"))
	refused[reply](s, api.ADDRESS_IN_USE, add(a, "10.1.0.1/24"))
	refused[reply](s, ok, add(a, "10.1.0.2/24"))
	refused[reply](s, api.ADDRESS_IN_USE, add(a, "10.1.0.3/25"))
	refused[reply](s, api.ADDRESS_IN_USE, add(b, "10.1.0.4/24"))
	refused[reply](s, api.ADDRESS_IN_USE, add(b, "10.1.0.4/32"))
	refused[reply](s, ok, add(b, "10.1.1.4/32"))
	same(s, "addresses", s.addressesOf(a), []string{"10.1.0.1/24", "10.1.0.2/24"})
	same(s, "addresses of nobody", s.addressesOf(nobody), nil)
	refused[reply](s, api.ADDRESS_NOT_FOUND_FOR_INTERFACE, del(a, "10.1.0.9/24"))
	refused[reply](s, api.ADDRESS_NOT_FOUND_FOR_INTERFACE, del(b, "10.1.0.1/24"))
	refused[reply](s, ok, del(a, "10.1.0.1/24"))
	refused[reply](s, ok, &interfaces.SwInterfaceAddDelAddress{SwIfIndex: a, DelAll: true})
	same(s, "addresses", s.addressesOf(a), nil)
	// In another table the same address is another one.
	Do[ip.IPTableAddDelV2Reply](s.peer, table1(v4, true))
	Do[interfaces.SwInterfaceSetTableReply](s.peer, &interfaces.SwInterfaceSetTable{SwIfIndex: a, VrfID: 1})
	refused[reply](s, ok, add(a, "10.1.1.4/32"))
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: b})
	refused[reply](s, ok, add(s.loopback(3, 0), "10.1.1.4/32"))
}

func (s *suite) addressesV6() {
	a, b := s.loopback(1, 0), s.loopback(2, 0)
	type reply = interfaces.SwInterfaceAddDelAddressReply
	refused[reply](s, ok, add(a, "fd00:1::1/64"))
	refused[reply](s, api.DUPLICATE_IF_ADDRESS, add(a, "fd00:1::1/64"))
	refused[reply](s, api.DUPLICATE_IF_ADDRESS, add(b, "fd00:1::1/128"))
	refused[reply](s, api.ADDRESS_LENGTH_MISMATCH, add(b, "fe80::1/64"))
	refused[reply](s, ok, add(b, "fd00:2::1/128"))
	refused[reply](s, api.ADDRESS_NOT_FOUND_FOR_INTERFACE, del(b, "fd00:1::1/64"))
	same(s, "addresses", s.addressesOf(b), []string{"fd00:2::1/128"})
	refused[reply](s, ok, del(b, "fd00:2::1/128"))
	same(s, "addresses", s.addressesOf(b), nil)
}

// table1 adds table 1, or deletes it.
func table1(f family, isAdd bool) *ip.IPTableAddDelV2 {
	return &ip.IPTableAddDelV2{IsAdd: isAdd, CreateMfib: true, Table: ip.IPTable{TableID: 1, IsIP6: f == v6, Name: "pods"}}
}

// tableList are the tables in a few words each.
func (s *suite) tableList() []string {
	s.Helper()
	var all []string
	for _, d := range List[ip.IPTableDetails](s.peer, &ip.IPTableDump{}) {
		all = append(all, fmt.Sprintf("%d %t %s", d.Table.TableID, d.Table.IsIP6, d.Table.Name))
	}
	return all
}

func (s *suite) tables() {
	type bound = interfaces.SwInterfaceSetTableReply
	index := s.loopback(1, 0)
	bind := &interfaces.SwInterfaceSetTable{SwIfIndex: index, VrfID: 1}
	main := []string{"0 false ipv4-VRF:0", "0 true ipv6-VRF:0"}
	same(s, "tables", s.tableList(), main)
	refused[ip.IPTableAddDelV2Reply](s, ok, table1(v4, false))
	refused[bound](s, api.NO_SUCH_FIB, bind)
	refused[ip.IPTableAddDelV2Reply](s, ok, table1(v4, true))
	refused[ip.IPTableAddDelV2Reply](s, ok, table1(v4, true))
	refused[ip.IPTableAddDelReply](s, ok, &ip.IPTableAddDel{IsAdd: true, Table: ip.IPTable{TableID: 2, IsIP6: true}})
	pods := []string{"0 false ipv4-VRF:0", "1 false pods", "0 true ipv6-VRF:0"}
	same(s, "tables", s.tableList(), append(slices.Clone(pods), "2 true ipv6-VRF:2"))
	refused[ip.IPTableAddDelReply](s, ok, &ip.IPTableAddDel{Table: ip.IPTable{TableID: 2, IsIP6: true}})
	refused[bound](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceSetTable{SwIfIndex: nobody, VrfID: 1})
	refused[bound](s, api.NO_SUCH_FIB, &interfaces.SwInterfaceSetTable{SwIfIndex: index, VrfID: 1, IsIPv6: true})
	refused[bound](s, ok, bind)
	same(s, "table", Do[interfaces.SwInterfaceGetTableReply](s.peer, &interfaces.SwInterfaceGetTable{SwIfIndex: index}).VrfID, 1)
	same(s, "table", Do[interfaces.SwInterfaceGetTableReply](s.peer, &interfaces.SwInterfaceGetTable{SwIfIndex: index, IsIPv6: true}).VrfID, 0)
	refused[interfaces.SwInterfaceGetTableReply](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceGetTable{SwIfIndex: nobody})

	// It is there as long as somebody is in it.
	refused[ip.IPTableAddDelV2Reply](s, ok, table1(v4, false))
	same(s, "tables", s.tableList(), pods)
	Do[interfaces.SwInterfaceAddDelAddressReply](s.peer, add(index, "10.1.0.1/32"))
	refused[bound](s, api.ADDRESS_FOUND_FOR_INTERFACE, bind)
	Do[interfaces.SwInterfaceAddDelAddressReply](s.peer, del(index, "10.1.0.1/32"))
	refused[bound](s, ok, &interfaces.SwInterfaceSetTable{SwIfIndex: index})
	same(s, "tables", s.tableList(), main)
}

func (s *suite) unnumbered() {
	type reply = interfaces.SwInterfaceSetUnnumberedReply
	lender, a := s.loopback(1, isUp), s.loopback(2, 0)
	Do[interfaces.SwInterfaceAddDelAddressReply](s.peer, add(lender, "10.1.0.1/32"))
	lend := &interfaces.SwInterfaceSetUnnumbered{SwIfIndex: lender, UnnumberedSwIfIndex: a, IsAdd: true}
	refused[reply](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceSetUnnumbered{SwIfIndex: lender, UnnumberedSwIfIndex: nobody, IsAdd: true})
	refused[reply](s, api.INVALID_SW_IF_INDEX_2, &interfaces.SwInterfaceSetUnnumbered{SwIfIndex: nobody, UnnumberedSwIfIndex: a, IsAdd: true})
	Do[ip.IPTableAddDelV2Reply](s.peer, table1(v4, true))
	bind := &interfaces.SwInterfaceSetTable{SwIfIndex: a, VrfID: 1}
	Do[interfaces.SwInterfaceSetTableReply](s.peer, bind)
	refused[reply](s, api.UNEXPECTED_INTF_STATE, lend) // in another table
	Do[interfaces.SwInterfaceSetTableReply](s.peer, &interfaces.SwInterfaceSetTable{SwIfIndex: a})
	refused[reply](s, ok, lend)
	refused[reply](s, ok, lend)
	refused[interfaces.SwInterfaceSetTableReply](s, api.ADDRESS_FOUND_FOR_INTERFACE, bind)
	all := &ip.IPUnnumberedDump{SwIfIndex: ^interface_types.InterfaceIndex(0)}
	want := []ip.IPUnnumberedDetails{{SwIfIndex: a, IPSwIfIndex: lender}}
	same(s, "unnumbered", List[ip.IPUnnumberedDetails](s.peer, all), want)
	same(s, "addresses", s.addressesOf(a), nil)
	// VPP lets the lender go, and the other keeps the number of what is gone.
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: lender})
	same(s, "unnumbered", List[ip.IPUnnumberedDetails](s.peer, all), want)
	refused[reply](s, ok, &interfaces.SwInterfaceSetUnnumbered{SwIfIndex: nobody, UnnumberedSwIfIndex: a})
	same(s, "unnumbered", List[ip.IPUnnumberedDetails](s.peer, all), nil)
}

// via is the path over an interface, to an address if there is one.
func via(index interface_types.InterfaceIndex, f family, a string) fib_types.FibPath {
	if a == "" {
		return pathTo(uint32(index), f, netip.Addr{})
	}
	return pathTo(uint32(index), f, netip.MustParseAddr(a))
}

// lookupIn is the path that goes on in another table.
func lookupIn(f family, id uint32) fib_types.FibPath {
	return fib_types.FibPath{SwIfIndex: none, TableID: id, Weight: 1, Proto: protoOf(f)}
}

// route adds a route, or deletes it.
func routeIn(id uint32, text string, isAdd bool, paths ...fib_types.FibPath) *ip.IPRouteAddDelV2 {
	return &ip.IPRouteAddDelV2{IsAdd: isAdd, Route: ip.IPRouteV2{TableID: id, Prefix: pfx(text), NPaths: uint8(len(paths)), Paths: paths}}
}

// routesIn are the routes of a table and a source (0 is any), in a few words each.
func (s *suite) routesIn(f family, id uint32, source uint8) []string {
	s.Helper()
	var all []string
	for _, d := range List[ip.IPRouteV2Details](s.peer, &ip.IPRouteV2Dump{Src: source, Table: ip.IPTable{TableID: id, IsIP6: f == v6}}) {
		if d.Route.TableID != id {
			s.Errorf("table %d has a route of table %d", id, d.Route.TableID)
		}
		var text strings.Builder
		fmt.Fprintf(&text, "%s %d", prefix(d.Route.Prefix), d.Route.Src)
		for _, p := range d.Route.Paths {
			fmt.Fprintf(&text, ", %d %d %d %d", p.Type, int32(p.SwIfIndex), p.TableID, p.Weight)
			if nh := p.Nh.Address; nh != (ip_types.AddressUnion{}) {
				text.WriteString(" " + address(ip_types.Address{Af: ip_types.AddressFamily(f), Un: nh}).String())
			}
		}
		all = append(all, text.String())
	}
	slices.Sort(all)
	return all
}

func (s *suite) routes() {
	a, b := s.loopback(1, isUp), s.loopback(2, isUp)
	for f, subnet := range []string{"10.1.0.1/24", "fd00:1::1/64"} {
		f, own := family(f), netip.MustParsePrefix(subnet).Addr()
		Do[interfaces.SwInterfaceAddDelAddressReply](s.peer, add(a, subnet))
		hop := own.Next().String()
		host := fmt.Sprintf("%s/%d", own.Next(), own.BitLen())
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, host, true, via(a, f, hop)))
		same(s, "routes", s.routesIn(f, 0, sourceAPI), []string{fmt.Sprintf("%s 8, 0 %d 0 1 %s", host, a, hop)})
		// The same again, and another: the last one counts.
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, host, true, via(a, f, hop)))
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, host, true, via(b, f, "")))
		// The path over a link to one host is that to the host.
		same(s, "routes", s.routesIn(f, 0, sourceAPI), []string{fmt.Sprintf("%s 8, 0 %d 0 1 %s", host, b, hop)})
		// An interface that goes leaves its routes behind.
		third := s.loopback(3+uint32(f), isUp)
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, host, true, via(third, f, "")))
		Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: third})
		same(s, "routes", s.routesIn(f, 0, sourceAPI), []string{fmt.Sprintf("%s 8, 0 %d 0 1 %s", host, third, hop)})
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, host, false))
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, host, false))
		same(s, "routes", s.routesIn(f, 0, sourceAPI), nil)
	}
	v1 := &ip.IPRouteAddDel{IsAdd: true, Route: ip.IPRoute{Prefix: pfx("10.9.0.0/16"), NPaths: 1, Paths: []fib_types.FibPath{via(a, v4, "10.1.0.9")}}}
	refused[ip.IPRouteAddDelReply](s, ok, v1)
	same(s, "routes", s.routesIn(v4, 0, sourceAPI), []string{fmt.Sprintf("10.9.0.0/16 8, 0 %d 0 1 10.1.0.9", a)})
	dropped := fib_types.FibPath{SwIfIndex: none, Type: fib_types.FIB_API_PATH_TYPE_DROP}
	refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, "10.9.0.0/16", true, dropped))
	same(s, "routes", s.routesIn(v4, 0, sourceAPI), []string{"10.9.0.0/16 8, 2 -1 0 1"})
	// Other bits of a subnet's address do not make it another one, and the first
	// that named it is remembered.
	refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, "10.9.0.7/16", true, dropped))
	same(s, "routes", s.routesIn(v4, 0, sourceAPI), []string{"10.9.0.0/16 8, 2 -1 0 1"})
	refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, "10.9.0.8/16", false))
	refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, "10.9.0.7/16", true, dropped))
	same(s, "routes", s.routesIn(v4, 0, sourceAPI), []string{"10.9.0.7/16 8, 2 -1 0 1"})
	dropped.Proto = fib_types.FIB_API_PATH_NH_PROTO_IP6
	refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, "fd09::7/64", true, dropped))
	same(s, "routes", s.routesIn(v6, 0, sourceAPI), []string{"fd09::7/64 8, 2 -1 0 1"})
}

func (s *suite) routesRefused() {
	type reply = ip.IPRouteAddDelV2Reply
	a := s.loopback(1, isUp)
	long := routeIn(0, "10.1.0.0/24", true, via(a, v4, ""))
	long.Route.Prefix.Len = 33
	refused[reply](s, api.INVALID_PREFIX_LENGTH, long)
	refused[reply](s, api.NO_SUCH_FIB, routeIn(9, "10.1.0.0/24", true, via(a, v4, "")))
	refused[reply](s, api.NO_SUCH_FIB, routeIn(9, "10.1.0.0/24", false))
	refused[reply](s, api.NO_SUCH_FIB, routeIn(0, "10.1.0.0/24", true, lookupIn(v4, 9)))
	refused[reply](s, api.NO_MATCHING_INTERFACE, routeIn(0, "10.1.0.0/24", true, via(nobody, v4, "")))
	refused[reply](s, -52, routeIn(0, "10.1.0.0/24", true)) // NO_PATHS_IN_ROUTE
	same(s, "routes", s.routesIn(v4, 0, sourceAPI), nil)
	same(s, "routes of no table", s.routesIn(v4, 9, 0), nil)
}

func (s *suite) routesBetweenTables() {
	for f, text := range []string{"10.1.0.0/16", "fd00:1::/48"} {
		f := family(f)
		all := netip.PrefixFrom(netip.MustParsePrefix(text).Masked().Addr(), 0).Masked().String()
		Do[ip.IPTableAddDelV2Reply](s.peer, table1(f, true))
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, text, true, lookupIn(f, 1)))
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(1, all, true, lookupIn(f, 0)))
		same(s, "routes", s.routesIn(f, 0, sourceAPI), []string{text + " 8, 0 -1 1 1"})
		same(s, "routes", s.routesIn(f, 1, sourceAPI), []string{all + " 8, 0 -1 0 1"})
		// The route into the table keeps it.
		Do[ip.IPTableAddDelV2Reply](s.peer, table1(f, false))
		same(s, "tables", len(s.tableList()), 3)
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(1, all, false))
		refused[ip.IPRouteAddDelV2Reply](s, ok, routeIn(0, text, false))
		same(s, "tables", len(s.tableList()), 2)
	}
}

// routesOfInterfaces are those that nobody added.
func (s *suite) routesOfInterfaces() {
	Do[ip.IPTableAddDelV2Reply](s.peer, table1(v4, true))
	Do[ip.IPTableAddDelV2Reply](s.peer, table1(v6, true))
	specials := []string{"0.0.0.0/0 20, 2 -1 0 1", "0.0.0.0/32 20, 2 -1 0 1", "224.0.0.0/4 1, 2 -1 0 1", "240.0.0.0/4 1, 2 -1 0 1", "255.255.255.255/32 20, 2 -1 0 1"}
	same(s, "routes of an empty table", s.routesIn(v4, 1, 0), specials)
	specialsV6 := []string{"::/0 20, 2 -1 0 1", "fe80::/10 1, 0 -1 0 1"}
	same(s, "routes of an empty table", s.routesIn(v6, 1, 0), specialsV6)
	a := s.loopback(1, 0)
	for _, text := range []string{"10.1.0.1/24", "10.2.0.1/32", "fd00:1::1/64", "fd00:2::1/128"} {
		Do[interfaces.SwInterfaceAddDelAddressReply](s.peer, add(a, text))
	}
	same(s, "routes of an interface that is down", s.routesIn(v4, 0, 0), specials)
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: a, Flags: isUp})
	mac := ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 4}
	for _, text := range []string{"10.1.0.7", "fd00:1::7"} {
		neighbor := ip_neighbor.IPNeighbor{SwIfIndex: a, Flags: ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC, MacAddress: mac, IPAddress: toAddress(netip.MustParseAddr(text))}
		Do[ip_neighbor.IPNeighborAddDelReply](s.peer, &ip_neighbor.IPNeighborAddDel{IsAdd: true, Neighbor: neighbor})
	}
	got := slices.DeleteFunc(s.routesIn(v4, 0, 0), func(r string) bool { return slices.Contains(specials, r) })
	same(s, "routes of an interface", got, []string{
		"10.1.0.0/32 4, 2 -1 0 1", "10.1.0.1/24 4, 0 1 0 1", "10.1.0.1/32 4, 1 1 0 1 10.1.0.1", "10.1.0.255/32 4, 2 -1 0 1",
		"10.1.0.7/32 15, 0 1 0 1 10.1.0.7", "10.2.0.1/32 4, 1 1 0 1 10.2.0.1",
	})
	got = slices.DeleteFunc(s.routesIn(v6, 0, 0), func(r string) bool { return slices.Contains(specialsV6, r) })
	same(s, "routes of an interface", got, []string{
		"fd00:1::/64 4, 0 1 0 1", "fd00:1::1/128 4, 1 1 0 1 fd00:1::1", "fd00:1::7/128 15, 0 1 0 1 fd00:1::7",
		"fd00:2::1/128 4, 1 1 0 1 fd00:2::1",
	})
	// Of one that is down, those to neighbours are left.
	left := slices.Insert(slices.Clone(specials), 2, "10.1.0.7/32 15, 0 1 0 1 10.1.0.7")
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: a})
	same(s, "routes of an interface that is down", s.routesIn(v4, 0, 0), left)
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: a})
	if s.forgets() {
		left = specials
	}
	same(s, "routes of an interface that is gone", s.routesIn(v4, 0, 0), left)
}

// neighborsOf are the neighbours of an interface, in a few words each.
func (s *suite) neighborsOf(index interface_types.InterfaceIndex, f family) []string {
	s.Helper()
	var all []string
	for _, d := range List[ip_neighbor.IPNeighborDetails](s.peer, &ip_neighbor.IPNeighborDump{SwIfIndex: index, Af: ip_types.AddressFamily(f)}) {
		n := d.Neighbor
		all = append(all, fmt.Sprintf("%d %s %s %d", n.SwIfIndex, address(n.IPAddress), n.MacAddress, n.Flags))
	}
	slices.Sort(all)
	return all
}

func (s *suite) neighbors() {
	type reply = ip_neighbor.IPNeighborAddDelReply
	a := s.loopback(1, isUp)
	mac, other := ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 4}, ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 5}
	change := func(isAdd bool, index interface_types.InterfaceIndex, text string, m ethernet_types.MacAddress, flags ip_neighbor.IPNeighborFlags) *ip_neighbor.IPNeighborAddDel {
		n := ip_neighbor.IPNeighbor{SwIfIndex: index, Flags: flags, MacAddress: m, IPAddress: toAddress(netip.MustParseAddr(text))}
		return &ip_neighbor.IPNeighborAddDel{IsAdd: isAdd, Neighbor: n}
	}
	const static = ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC
	refused[reply](s, api.INVALID_SW_IF_INDEX, change(true, nobody, "10.1.0.7", mac, static))
	refused[reply](s, ok, change(true, a, "10.1.0.7", mac, static))
	refused[reply](s, ok, change(true, a, "10.1.0.7", mac, static))
	refused[reply](s, ok, change(true, a, "10.1.0.7", mac, 0))
	refused[reply](s, -2, change(true, a, "10.1.0.7", other, 0))
	refused[reply](s, ok, change(true, a, "10.1.0.7", other, static))
	refused[reply](s, ok, change(true, a, "fd00:1::7", mac, static))
	same(s, "neighbours", s.neighborsOf(a, v4), []string{fmt.Sprintf("%d 10.1.0.7 %s 1", a, other)})
	same(s, "neighbours", s.neighborsOf(^interface_types.InterfaceIndex(0), v6), []string{fmt.Sprintf("%d fd00:1::7 %s 1", a, mac)})
	refused[reply](s, api.NO_SUCH_ENTRY, change(false, a, "10.1.0.8", mac, 0))
	refused[reply](s, ok, change(false, a, "10.1.0.7", mac, 0))
	same(s, "neighbours", s.neighborsOf(a, v4), nil)
	// One that VPP has learned goes when the interface is switched off, a static
	// one does not, nor does it go with the interface in 25.10: the next with its index
	// has it, unless it was deleted before.
	refused[reply](s, ok, change(true, a, "fd00:1::8", mac, 0))
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: a})
	kept := []string{fmt.Sprintf("%d fd00:1::7 %s 1", a, mac)}
	same(s, "neighbours", s.neighborsOf(a, v6), kept)
	refused[reply](s, ok, change(true, a, "10.1.0.7", mac, static))
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: a, Flags: isUp})
	same(s, "neighbours", s.neighborsOf(a, v4), []string{fmt.Sprintf("%d 10.1.0.7 %s 1", a, mac)})
	refused[reply](s, ok, change(false, a, "10.1.0.7", mac, 0))
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: a})
	wasKept := ok
	if s.forgets() {
		kept, wasKept = nil, api.NO_SUCH_ENTRY
	}
	same(s, "neighbours", s.neighborsOf(^interface_types.InterfaceIndex(0), v4), nil)
	same(s, "neighbours", s.neighborsOf(^interface_types.InterfaceIndex(0), v6), kept)
	refused[reply](s, api.INVALID_SW_IF_INDEX, change(false, a, "fd00:1::7", mac, 0))
	same(s, "index of the next", s.loopback(9, isUp), a)
	same(s, "neighbours", s.neighborsOf(a, v6), kept)
	refused[reply](s, wasKept, change(false, a, "fd00:1::7", mac, 0))
	same(s, "neighbours", s.neighborsOf(a, v6), nil)
}

// neighborsInTable are neighbours of an interface that is in another table, and
// goes.
func (s *suite) neighborsInTable() {
	Do[ip.IPTableAddDelV2Reply](s.peer, table1(v4, true))
	a := s.loopback(1, isUp)
	n := ip_neighbor.IPNeighbor{SwIfIndex: a, Flags: ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC, IPAddress: toAddress(netip.MustParseAddr("10.1.0.7"))}
	Do[ip_neighbor.IPNeighborAddDelReply](s.peer, &ip_neighbor.IPNeighborAddDel{IsAdd: true, Neighbor: n})
	want := []string{"10.1.0.7/32 15, 0 1 0 1 10.1.0.7"}
	same(s, "routes", s.routesIn(v4, 0, sourceNeighbor), want)
	Do[interfaces.SwInterfaceSetTableReply](s.peer, &interfaces.SwInterfaceSetTable{SwIfIndex: a, VrfID: 1})
	same(s, "routes", s.routesIn(v4, 0, sourceNeighbor), nil)
	same(s, "routes", s.routesIn(v4, 1, sourceNeighbor), want)
	Do[ip.IPRouteAddDelV2Reply](s.peer, routeIn(1, "10.1.0.7/32", true, via(a, v4, "10.1.0.7")))
	same(s, "routes", s.routesIn(v4, 1, sourceNeighbor), nil) // the client's is first
	Do[ip.IPRouteAddDelV2Reply](s.peer, routeIn(1, "10.1.0.7/32", false))
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: a})
	if s.forgets() {
		want = nil
	}
	same(s, "routes", s.routesIn(v4, 0, sourceNeighbor), want)
	same(s, "routes", s.routesIn(v4, 1, sourceNeighbor), nil)
}

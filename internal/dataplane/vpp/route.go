// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"fmt"
	"net/netip"

	"go.fd.io/govpp/binapi/fib_types"
	"go.fd.io/govpp/binapi/ip"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
)

// route is a route with one path, as far as we make any. It is comparable.
type route struct {
	table uint32
	dst   netip.Prefix
	// out is the interface that it leads to, none for other kinds.
	out ifIndex
	via netip.Addr // the next hop; the zero value for what is attached
	// lookup has the packet looked up in another table, toTable.
	lookup  bool
	toTable uint32
	// drop leads nowhere. VPP 25.10 can also tell the sender, and crashes when it is
	// asked for that over the API.
	drop bool
}

// String is the route as VPP shows it.
func (r route) String() string {
	s := fmt.Sprintf("%s in table %d", r.dst, r.table)
	switch {
	case r.drop:
		return s + " drop"
	case r.lookup:
		return fmt.Sprintf("%s lookup in table %d", s, r.toTable)
	default:
		return s
	}
}

func (r route) path() fib_types.FibPath {
	p := fib_types.FibPath{
		SwIfIndex: uint32(none), Weight: 1, Proto: protoOf(r.dst.Addr()),
		Nh: fib_types.FibPathNh{Address: unionOf(r.via)},
	}
	switch {
	case r.drop:
		p.Type = fib_types.FIB_API_PATH_TYPE_DROP
	case r.lookup:
		p.TableID = r.toTable
	default:
		p.SwIfIndex = uint32(r.out)
	}
	return p
}

// setRoute makes a route, in the place of any of ours to the same destination;
// takeRoute removes it, and no other with another path. A route whose interface is
// gone stays in VPP, and has to be dropped before it is made again: where the new
// interface has the old one's number, VPP takes the new path for the old, which is
// dead.
func setRoute(b *vppapi.Batch, r route) { changeRoute(b, r, true) }

func takeRoute(b *vppapi.Batch, r route) *vppapi.Request { return changeRoute(b, r, false) }

// dropRoute removes whatever the API made to a destination.
func dropRoute(b *vppapi.Batch, key routeKey) {
	b.Call(&ip.IPRouteAddDel{Route: ip.IPRoute{TableID: key.table, Prefix: prefixOf(key.dst)}}, &ip.IPRouteAddDelReply{}).
		OnErrorSay("route %s in table %d", key.dst, key.table)
}

func changeRoute(b *vppapi.Batch, r route, add bool) *vppapi.Request {
	return b.Call(&ip.IPRouteAddDel{
		IsAdd: add, IsMultipath: !add,
		Route: ip.IPRoute{TableID: r.table, Prefix: prefixOf(r.dst), NPaths: 1, Paths: []fib_types.FibPath{r.path()}},
	}, &ip.IPRouteAddDelReply{}).OnErrorSay("route %s", r)
}

// readRoute is what a route of VPP's means; ok is false for one that is none of
// ours, with several paths or of another kind.
func readRoute(in ip.IPRouteV2) (r route, ok bool) {
	r = route{table: in.TableID, dst: fromPrefix(in.Prefix), out: none}
	if len(in.Paths) != 1 {
		return r, false
	}
	p := in.Paths[0]
	next := netip.AddrFrom4(p.Nh.Address.GetIP4())
	if !r.dst.Addr().Is4() {
		next = netip.AddrFrom16(p.Nh.Address.GetIP6())
	}
	switch {
	case p.Type == fib_types.FIB_API_PATH_TYPE_DROP:
		r.drop = true
	case p.Type != fib_types.FIB_API_PATH_TYPE_NORMAL:
		return r, false
	case p.SwIfIndex == uint32(none):
		r.lookup, r.toTable = true, p.TableID
	default:
		r.out = ifIndex(p.SwIfIndex)
		if !next.IsUnspecified() {
			r.via = next
		}
	}
	return r, true
}

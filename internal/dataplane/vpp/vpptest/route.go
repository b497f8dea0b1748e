// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/fib_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_types"
)

type tableKey struct {
	family family
	id     uint32
}

// table is a table of routes. It is there as long as the API, an interface, or a
// route that leads into it needs it.
type table struct {
	name   string
	api    bool
	routes map[netip.Prefix]route // those of clients
}

// route is what a client wants to be done with a prefix, which is in named as it
// was first told.
type route struct {
	named netip.Prefix
	paths []fib_types.FibPath
}

// tableName is VPP's for a table that is given none.
func tableName(f family, id uint32) string { return fmt.Sprintf("ipv%d-VRF:%d", 4+2*int(f), id) }

func (w *world) addDelTable(q *ip.IPTableAddDel) api.VPPApiError {
	return w.changeTable(q.IsAdd, q.Table)
}

func (w *world) addDelTableV2(q *ip.IPTableAddDelV2) api.VPPApiError {
	return w.changeTable(q.IsAdd, q.Table)
}

// changeTable adds a table, or lets the API need it no more. Neither is refused:
// adding one that is there and deleting one that is not there is nothing to VPP.
func (w *world) changeTable(add bool, q ip.IPTable) api.VPPApiError {
	k := tableKey{familyIf(q.IsIP6), q.TableID}
	t, known := w.tables[k]
	switch {
	case q.TableID == 0: // it is there for good
	case known:
		t.api = add
	case add:
		name := q.Name
		if name == "" {
			name = tableName(k.family, k.id)
		}
		w.tables[k] = &table{name: name, api: true, routes: map[netip.Prefix]route{}}
	}
	w.dropTables()
	return ok
}

// dropTables forgets the tables that nothing needs.
func (w *world) dropTables() {
	for {
		used, before := w.usedTables(), len(w.tables)
		maps.DeleteFunc(w.tables, func(k tableKey, t *table) bool { return !t.api && !used[k] })
		if len(w.tables) == before {
			return
		}
	}
}

// usedTables are those that interfaces are in, and that routes lead into.
func (w *world) usedTables() map[tableKey]bool {
	used := map[tableKey]bool{}
	for _, i := range w.interfaces {
		for f := range families {
			used[tableKey{f, i.tables[f]}] = true
		}
	}
	for _, t := range w.tables {
		for _, r := range t.routes {
			for _, p := range r.paths {
				if k, leads := leadsTo(p); leads {
					used[k] = true
				}
			}
		}
	}
	return used
}

// leadsTo is the table that a path goes on in, if it does.
func leadsTo(p fib_types.FibPath) (tableKey, bool) {
	k := tableKey{familyIf(p.Proto == fib_types.FIB_API_PATH_NH_PROTO_IP6), p.TableID}
	return k, p.Type == fib_types.FIB_API_PATH_TYPE_NORMAL && p.SwIfIndex == none
}

func (w *world) dumpTables(*ip.IPTableDump) []ip.IPTableDetails {
	keys := slices.SortedFunc(maps.Keys(w.tables), func(a, b tableKey) int {
		if a.family != b.family {
			return int(a.family - b.family)
		}
		return int(a.id) - int(b.id)
	})
	var all []ip.IPTableDetails
	for _, k := range keys {
		all = append(all, ip.IPTableDetails{Table: ip.IPTable{TableID: k.id, IsIP6: k.family == v6, Name: w.tables[k].name}})
	}
	return all
}

func (w *world) addDelRoute(q *ip.IPRouteAddDel, r *ip.IPRouteAddDelReply) {
	v2 := ip.IPRouteV2{TableID: q.Route.TableID, Prefix: q.Route.Prefix, Paths: q.Route.Paths}
	r.StatsIndex, r.Retval = none, int32(w.changeRoute(ip.IPRouteAddDelV2{IsAdd: q.IsAdd, IsMultipath: q.IsMultipath, Route: v2}))
}

func (w *world) addDelRouteV2(q *ip.IPRouteAddDelV2, r *ip.IPRouteAddDelV2Reply) {
	r.StatsIndex, r.Retval = none, int32(w.changeRoute(*q))
}

func (w *world) changeRoute(q ip.IPRouteAddDelV2) api.VPPApiError {
	p := prefix(q.Route.Prefix)
	f := family(q.Route.Prefix.Address.Af)
	t, known := w.tables[tableKey{f, q.Route.TableID}]
	if !known {
		return api.NO_SUCH_FIB
	}
	for n := range q.Route.Paths {
		if retval := w.decodePath(&q.Route.Paths[n]); retval != ok {
			return retval
		}
	}
	switch {
	case !p.IsValid():
		return api.INVALID_PREFIX_LENGTH
	case len(q.Route.Paths) == 0 && (q.IsAdd || q.IsMultipath):
		return api.NEXT_HOP_NOT_IN_FIB - 2 // NO_PATHS_IN_ROUTE, of which GoVPP has another name
	}
	t.change(p, q)
	w.dropTables()
	return ok
}

// change changes a route: the whole of it, or one of its paths.
func (t *table) change(p netip.Prefix, q ip.IPRouteAddDelV2) {
	r, known := t.routes[p.Masked()]
	if !known {
		r.named = p
	}
	for n := range q.Route.Paths {
		// The path over a link to one host is that to the host.
		path := &q.Route.Paths[n]
		if p.IsSingleIP() && path.Type == fib_types.FIB_API_PATH_TYPE_NORMAL && path.SwIfIndex != none && path.Nh.Address == (ip_types.AddressUnion{}) {
			path.Nh.Address = q.Route.Prefix.Address.Un
		}
	}
	switch {
	case q.IsMultipath:
		isOne := func(own fib_types.FibPath) bool { return slices.Contains(q.Route.Paths, own) }
		r.paths = slices.DeleteFunc(slices.Clone(r.paths), isOne)
		if q.IsAdd {
			r.paths = append(r.paths, q.Route.Paths...)
		}
	case q.IsAdd:
		r.paths = q.Route.Paths
	default:
		r.paths = nil
	}
	t.routes[p.Masked()] = r
	if len(r.paths) == 0 {
		delete(t.routes, p.Masked())
	}
}

// decodePath brings a path into the form that a dump has, and says what is wrong
// with it.
func (w *world) decodePath(p *fib_types.FibPath) api.VPPApiError {
	p.Weight = max(p.Weight, 1)
	p.RpfID, p.Flags = 0, fib_types.FIB_API_PATH_FLAG_NONE
	if p.Type == fib_types.FIB_API_PATH_TYPE_LOCAL {
		p.TableID = 0
		return ok
	}
	if p.Type != fib_types.FIB_API_PATH_TYPE_NORMAL {
		p.SwIfIndex, p.TableID, p.Nh = none, 0, fib_types.FibPathNh{}
		return ok
	}
	if k, leads := leadsTo(*p); leads {
		if w.tables[k] == nil {
			return api.NO_SUCH_FIB
		}
		return ok
	}
	p.TableID = 0
	if w.interfaces[p.SwIfIndex] == nil {
		return api.NO_MATCHING_INTERFACE
	}
	return ok
}

func (w *world) dumpRoutes(q *ip.IPRouteDump) []ip.IPRouteDetails {
	var all []ip.IPRouteDetails
	for _, r := range w.routes(tableKey{familyIf(q.Table.IsIP6), q.Table.TableID}) {
		all = append(all, ip.IPRouteDetails{Route: ip.IPRoute{
			TableID: r.TableID, StatsIndex: r.StatsIndex, Prefix: r.Prefix, NPaths: r.NPaths, Paths: r.Paths,
		}})
	}
	return all
}

func (w *world) dumpRoutesV2(q *ip.IPRouteV2Dump) []ip.IPRouteV2Details {
	var all []ip.IPRouteV2Details
	for _, r := range w.routes(tableKey{familyIf(q.Table.IsIP6), q.Table.TableID}) {
		if q.Src == 0 || q.Src == r.Src {
			all = append(all, ip.IPRouteV2Details{Route: r})
		}
	}
	return all
}

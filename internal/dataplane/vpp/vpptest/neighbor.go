// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/ethernet_types"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip_neighbor"
	"go.fd.io/govpp/binapi/ip_types"
	"go.fd.io/govpp/binapi/urpf"
)

type neighborKey struct {
	index   uint32
	address netip.Addr
}

type neighbor struct {
	mac   ethernet_types.MacAddress
	flags ip_neighbor.IPNeighborFlags
}

func (w *world) addDelNeighbor(q *ip_neighbor.IPNeighborAddDel, r *ip_neighbor.IPNeighborAddDelReply) {
	r.StatsIndex = none
	n := q.Neighbor
	k := neighborKey{uint32(n.SwIfIndex), address(n.IPAddress)}
	old, known := w.neighbors[k]
	isStatic := n.Flags&ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC != 0
	wasStatic := old.flags&ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC != 0
	switch {
	case w.interfaces[k.index] == nil:
		r.Retval = int32(api.INVALID_SW_IF_INDEX)
	case !q.IsAdd && !known:
		r.Retval = int32(api.NO_SUCH_ENTRY)
	case !q.IsAdd:
		delete(w.neighbors, k)
	case known && wasStatic && !isStatic && old.mac != n.MacAddress:
		r.Retval = -2 // it is not VPP's own name for this
	case known && wasStatic:
		w.neighbors[k] = neighbor{n.MacAddress, old.flags}
	default:
		w.neighbors[k] = neighbor{n.MacAddress, n.Flags}
	}
}

func (w *world) dumpNeighbors(q *ip_neighbor.IPNeighborDump) []ip_neighbor.IPNeighborDetails {
	var all []ip_neighbor.IPNeighborDetails
	keys := slices.SortedFunc(maps.Keys(w.neighbors), func(a, b neighborKey) int {
		return cmp.Or(cmp.Compare(a.index, b.index), a.address.Compare(b.address))
	})
	for _, k := range keys {
		if (q.Af == ip_types.ADDRESS_IP6) != k.address.Is6() || uint32(q.SwIfIndex) != none && uint32(q.SwIfIndex) != k.index {
			continue
		}
		n := w.neighbors[k]
		all = append(all, ip_neighbor.IPNeighborDetails{Neighbor: ip_neighbor.IPNeighbor{
			SwIfIndex: interface_types.InterfaceIndex(k.index), Flags: n.flags, MacAddress: n.mac, IPAddress: toAddress(k.address),
		}})
	}
	return all
}

func (w *world) flushNeighbors(q *ip_neighbor.IPNeighborFlush) api.VPPApiError {
	if index := uint32(q.SwIfIndex); index != none && w.interfaces[index] == nil {
		return api.INVALID_SW_IF_INDEX
	}
	maps.DeleteFunc(w.neighbors, func(k neighborKey, _ neighbor) bool {
		return (q.Af == ip_types.ADDRESS_IP6) == k.address.Is6() && (uint32(q.SwIfIndex) == none || uint32(q.SwIfIndex) == k.index)
	})
	return ok
}

// forgetNeighbors is what VPP does with an interface's neighbours when it is
// switched off. Static ones stay, even when the interface goes.
func (w *world) forgetNeighbors(index uint32) {
	maps.DeleteFunc(w.neighbors, func(k neighborKey, n neighbor) bool {
		return k.index == index && n.flags&ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC == 0
	})
}

// checkKey is where the source of packets is checked.
type checkKey struct {
	index  uint32
	family family
	input  bool
}

// check stays when its interface goes, and with it VPP's belief that the next
// interface with that index is checked already: to be checked it must have been
// switched off before.
type check struct {
	mode   urpf.UrpfMode
	table  uint32
	custom bool // another table than that of the interface
}

func (w *world) updateURPF(q *urpf.UrpfUpdate) api.VPPApiError {
	return w.setCheck(checkKey{uint32(q.SwIfIndex), family(q.Af), q.IsInput}, q.Mode, 0)
}

func (w *world) updateURPFV2(q *urpf.UrpfUpdateV2) api.VPPApiError {
	return w.setCheck(checkKey{uint32(q.SwIfIndex), family(q.Af), q.IsInput}, q.Mode, q.TableID)
}

// setCheck sets the check of an interface. Table none is the interface's own.
func (w *world) setCheck(k checkKey, mode urpf.UrpfMode, id uint32) api.VPPApiError {
	i, known := w.interfaces[k.index]
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case mode > urpf.URPF_API_MODE_STRICT:
		return api.INVALID_VALUE
	case k.family >= families:
		return api.INVALID_ADDRESS_FAMILY
	}
	custom := id != none
	if !custom {
		id = i.tables[k.family]
	}
	if w.tables[tableKey{k.family, id}] == nil {
		return api.INVALID_VALUE
	}
	w.checks[k] = check{mode, id, custom}
	return ok
}

func (w *world) dumpURPF(q *urpf.UrpfInterfaceDump) []urpf.UrpfInterfaceDetails {
	var all []urpf.UrpfInterfaceDetails
	for _, i := range w.sorted() {
		if uint32(q.SwIfIndex) != none && uint32(q.SwIfIndex) != i.index {
			continue
		}
		for f := range families {
			for _, input := range []bool{true, false} {
				if c := w.checks[checkKey{i.index, f, input}]; c.mode != urpf.URPF_API_MODE_OFF || c.custom {
					all = append(all, urpf.UrpfInterfaceDetails{
						SwIfIndex: interface_types.InterfaceIndex(i.index), IsInput: input, Mode: c.mode,
						Af: ip_types.AddressFamily(f), TableID: c.table,
					})
				}
			}
		}
	}
	return all
}

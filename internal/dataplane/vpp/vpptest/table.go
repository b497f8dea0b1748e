// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"maps"
	"slices"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/af_packet"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_neighbor"
	"go.fd.io/govpp/binapi/memclnt"
	"go.fd.io/govpp/binapi/memif"
	"go.fd.io/govpp/binapi/tapv2"
	"go.fd.io/govpp/binapi/urpf"
	"go.fd.io/govpp/binapi/vpe"
)

// The numbers of the only messages that have fixed ones
// (vlibmemory/memclnt.api).
const (
	sockclntCreate      = 15
	sockclntCreateReply = 16
	sockclntDelete      = 17
	sockclntDeleteReply = 18
	firstNumber         = 100 // of all others
)

// handlers are all requests that the server knows.
func handlers() []handler {
	return slices.Concat(sessionHandlers(), interfaceHandlers(), deviceHandlers(), networkHandlers(), serviceHandlers())
}

func sessionHandlers() []handler {
	return []handler{
		call(func(*world, *memclnt.ControlPing, *memclnt.ControlPingReply) {}),
		call(func(*world, *memclnt.MemclntKeepalive, *memclnt.MemclntKeepaliveReply) {}),
		call(func(w *world, _ *vpe.ShowVersion, r *vpe.ShowVersionReply) { r.Program, r.Version = "vpe", w.version }),
	}
}

func interfaceHandlers() []handler {
	return []handler{
		dump((*world).dumpInterfaces),
		act(&interfaces.SwInterfaceTagAddDelReply{}, (*world).setTag),
		act(&interfaces.SwInterfaceSetFlagsReply{}, (*world).setFlags),
		act(&interfaces.SwInterfaceSetMtuReply{}, (*world).setMTU),
		act(&interfaces.HwInterfaceSetMtuReply{}, (*world).setLinkMTU),
		act(&interfaces.SwInterfaceSetMacAddressReply{}, (*world).setMAC),
		call((*world).getMAC),
		act(&interfaces.SwInterfaceSetRxModeReply{}, (*world).setRxMode),
		act(&interfaces.WantInterfaceEventsReply{}, (*world).wantEvents),
		act(&interfaces.SwInterfaceAddDelAddressReply{}, (*world).addDelAddress),
		act(&interfaces.SwInterfaceSetTableReply{}, (*world).setTable),
		call((*world).getTable),
		act(&interfaces.SwInterfaceSetUnnumberedReply{}, (*world).setUnnumbered),
		call((*world).createLoopback),
		call((*world).createLoopbackInstance),
		act(&interfaces.DeleteLoopbackReply{}, (*world).deleteLoopback),
	}
}

func deviceHandlers() []handler {
	return []handler{
		call((*world).createHostInterfaceV2),
		call((*world).createHostInterfaceV3),
		act(&af_packet.AfPacketDeleteReply{}, (*world).deleteHostInterface),
		dump((*world).dumpHostInterfaces),
		call((*world).addDelMemifSocket),
		dump((*world).dumpMemifSockets),
		call((*world).createMemif),
		act(&memif.MemifDeleteReply{}, (*world).deleteMemif),
		dump((*world).dumpMemifs),
		call((*world).createTap),
		act(&tapv2.TapDeleteV2Reply{}, (*world).deleteTap),
		dump((*world).dumpTaps),
		act(&urpf.UrpfUpdateReply{}, (*world).updateURPF),
		act(&urpf.UrpfUpdateV2Reply{}, (*world).updateURPFV2),
		dump((*world).dumpURPF),
	}
}

func networkHandlers() []handler {
	return []handler{
		act(&ip.SwInterfaceIP6EnableDisableReply{}, (*world).enableIPv6),
		act(&ip.IPTableAddDelReply{}, (*world).addDelTable),
		act(&ip.IPTableAddDelV2Reply{}, (*world).addDelTableV2),
		dump((*world).dumpTables),
		dump((*world).dumpAddresses),
		dump((*world).dumpUnnumbered),
		call((*world).addDelRoute),
		call((*world).addDelRouteV2),
		dump((*world).dumpRoutes),
		dump((*world).dumpRoutesV2),
		call((*world).addDelNeighbor),
		dump((*world).dumpNeighbors),
		act(&ip_neighbor.IPNeighborFlushReply{}, (*world).flushNeighbors),
	}
}

// numbering is VPP's table of messages: the number of each, by NAME_CRC, and
// what serves the requests.
type numbering struct {
	numbers  map[string]uint16
	handlers map[uint16]handler
}

func number() numbering {
	n := numbering{numbers: map[string]uint16{}, handlers: map[uint16]handler{}}
	next := uint16(firstNumber)
	add := func(m api.Message) uint16 {
		if _, known := n.numbers[key(m)]; !known {
			n.numbers[key(m)] = next
			next++
		}
		return n.numbers[key(m)]
	}
	for _, h := range handlers() {
		n.handlers[add(h.kinds[0])] = h
		for _, m := range h.kinds[1:] {
			add(m)
		}
	}
	add(&interfaces.SwInterfaceEvent{})
	for m, fixed := range map[api.Message]uint16{
		&memclnt.SockclntCreate{}: sockclntCreate, &memclnt.SockclntCreateReply{}: sockclntCreateReply,
		&memclnt.SockclntDelete{}: sockclntDelete, &memclnt.SockclntDeleteReply{}: sockclntDeleteReply,
	} {
		n.numbers[key(m)] = fixed
	}
	return n
}

// table is what a client is told at its hello, without the messages that hidden
// names.
func (n numbering) table(hidden func(name string) bool) []memclnt.MessageTableEntry {
	var all []memclnt.MessageTableEntry
	for _, k := range slices.Sorted(maps.Keys(n.numbers)) {
		if !hidden(k[:len(k)-len("_00000000")]) {
			all = append(all, memclnt.MessageTableEntry{Index: n.numbers[k], Name: k})
		}
	}
	return all
}

// Replies are empty replies to the requests, in their order.
func Replies(requests []api.Message) []api.Message {
	kinds := map[string]handler{}
	for _, h := range handlers() {
		kinds[key(h.kinds[0])] = h
	}
	all := make([]api.Message, 0, len(requests))
	for _, q := range requests {
		all = append(all, kinds[key(q)].refuse(ok))
	}
	return all
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"net/netip"
	"slices"

	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/ip"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/model"
)

// configure asks for what a port's interface lacks. A memif keeps VPP's own MTU: its
// packets are bounded by the application's memory, and by what the other ends take.
func (s *session) configure(b *vppapi.Batch, p *port) {
	first := b.Len()
	if p.have.tag != p.tag {
		setTag(b, p.have.index, p.tag)
	}
	for _, a := range s.k.takeDeadNexts(p.have.index) {
		takeNeighbor(b, p.have.index, a, model.MAC{})
	}
	if p.host != nil {
		setMTU(b, p.have, p.MTU)
	}
	if p.network.table != 0 {
		if p.have.lends != p.network.gateway {
			s.lend(b, p)
		}
		for _, g := range p.network.addresses {
			if s.checksSources(s.k.conn) {
				s.k.check(b, p.have, familyOf(g))
			}
		}
		s.translate(b, p.have)
	} else if p.have.lends != none {
		setUnnumbered(b, p.have.lends, p.have.index, false)
	}
	if p.have.polls {
		onInterrupt(b, p.have.index)
	}
	setUp(b, p.have)
	b.Name(first, func(err error) error { return named(p.Port, err) })
}

// lend puts an interface into the network's tables, and has it use the gateways'
// addresses.
func (s *session) lend(b *vppapi.Batch, p *port) {
	if p.have.lends != none {
		setUnnumbered(b, p.have.lends, p.have.index, false)
	}
	for _, is6 := range families(p.network.addresses) {
		setTable(b, p.have.index, p.network.table, is6)
	}
	setUnnumbered(b, p.network.gateway, p.have.index, true)
	if p.folder != "" && slices.Contains(families(p.network.addresses), true) {
		enableIPv6(b, p.have.index)
	}
}

// enableIPv6 gives an interface a link-local address and has it in the groups of
// neighbour discovery, which the gateways' addresses alone do not: an application at a
// memif asks, and is asked. VPP does not advertise itself as a router unless told to.
func enableIPv6(b *vppapi.Batch, i ifIndex) {
	b.Call(&ip.SwInterfaceIP6EnableDisable{SwIfIndex: i, Enable: true}, &ip.SwInterfaceIP6EnableDisableReply{}).
		OnError(func(err error) error {
			if exists(err) {
				return nil
			}
			return say(err, "enable IPv6")
		})
}

// families lists those of a network's gateways, as whether they are IPv6. Its
// loopback is in the tables of these, and so have its ports to be.
func families(gateways []netip.Addr) []bool {
	var list []bool
	for _, g := range gateways {
		list = append(list, g.Is6())
	}
	return list
}

func setUnnumbered(b *vppapi.Batch, lender, i ifIndex, use bool) {
	b.Call(&interfaces.SwInterfaceSetUnnumbered{SwIfIndex: lender, UnnumberedSwIfIndex: i, IsAdd: use}, &interfaces.SwInterfaceSetUnnumberedReply{}).
		OnErrorSay("use the gateways' addresses")
}

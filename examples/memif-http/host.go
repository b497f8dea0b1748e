// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/polynic/polynic/memif"
)

const (
	// nic is the only interface of a host.
	nic = tcpip.NICID(1)
	// waiting is how many packets may wait for the ring; more are dropped, and TCP
	// sends them again.
	waiting = 1024
)

// host is the network stack behind one interface. Each interface has its own, so
// that answers leave where the question came from.
type host struct {
	stack *stack.Stack
	link  *channel.Endpoint
}

func newHost(i attachment) (*host, error) {
	mac, err := net.ParseMAC(i.MAC)
	if err != nil {
		return nil, err
	}
	h := &host{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
		link: channel.New(waiting, uint32(i.MTU)+header.EthernetMinimumSize, tcpip.LinkAddress(mac)), //nolint:gosec // at most 65,535
	}
	if err := h.configure(i); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// configure gives the host the interface's addresses, and the gateways as its ways.
func (h *host) configure(i attachment) error {
	if err := h.stack.CreateNIC(nic, ethernet.New(h.link)); err != nil {
		return errors.New(err.String())
	}
	for _, a := range i.Addresses {
		address := tcpip.ProtocolAddress{Protocol: protocolOf(a.Addr()), AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: tcpip.AddrFromSlice(a.Addr().AsSlice()), PrefixLen: a.Bits(),
		}}
		if err := h.stack.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %s: %s", a, err)
		}
	}
	var routes []tcpip.Route
	for _, g := range i.Gateways {
		gateway := tcpip.AddrFromSlice(g.AsSlice())
		everything := header.IPv4EmptySubnet
		if g.Is6() {
			everything = header.IPv6EmptySubnet
		}
		onLink := tcpip.AddressWithPrefix{Address: gateway, PrefixLen: g.BitLen()}.Subnet()
		routes = append(routes, tcpip.Route{Destination: onLink, NIC: nic}, tcpip.Route{Destination: everything, Gateway: gateway, NIC: nic})
	}
	h.stack.SetRouteTable(routes)
	return nil
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// listen takes connections at an address of the host.
func (h *host) listen(at netip.AddrPort) (net.Listener, error) {
	listener, err := gonet.ListenTCP(h.stack, tcpip.FullAddress{
		NIC: nic, Addr: tcpip.AddrFromSlice(at.Addr().AsSlice()), Port: at.Port(),
	}, protocolOf(at.Addr()))
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", at, err)
	}
	return listener, nil
}

// receive gives the stack what comes from the switch, until ctx ends.
func (h *host) receive(ctx context.Context, from *memif.Interface) error {
	frame := make([]byte, memif.MaxPacket)
	for {
		n, err := from.Read(ctx, frame)
		if err != nil {
			return err
		}
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[:n])})
		h.link.InjectInbound(0, packet) // the Ethernet header says which protocol
		packet.DecRef()
	}
}

// transmit gives the switch what comes from the stack, until ctx ends.
func (h *host) transmit(ctx context.Context, to *memif.Interface) error {
	for {
		packet := h.link.ReadContext(ctx)
		if packet == nil {
			return ctx.Err()
		}
		frame := packet.ToView()
		_, err := to.Write(ctx, frame.AsSlice())
		frame.Release()
		packet.DecRef()
		if err != nil {
			return err
		}
	}
}

// close ends the stack and what it runs.
func (h *host) close() {
	h.link.Close()
	h.stack.Close()
	h.stack.Wait()
}

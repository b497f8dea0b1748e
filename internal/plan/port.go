// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

func (n Node) port(a model.Attachment, index int) desired.Port {
	i := a.Interfaces[index]
	port := desired.Port{
		Owner:      a.ID,
		Network:    i.Network,
		SwitchMAC:  model.SwitchMAC(a.ID.ContainerID, i.Name),
		MTU:        a.MTU,
		PodName:    a.Pod.String(),
		CNINetwork: a.Network,
		Pod: desired.PodEnd{
			Netns: a.Netns,
			Name:  i.Name,
			MAC:   model.PodMAC(a.ID.ContainerID, i.Name),
		},
	}
	for _, address := range i.Addresses {
		gateway, ok := n.gateway(address)
		if !ok {
			continue // checked when the address was taken
		}
		port.Pod.Addresses = append(port.Pod.Addresses, hostPrefix(address))
		switch {
		case i.Type == podif.Memif: // the rest is up to the application
			continue
		case index == 0 && a.ID.Main():
			mainEnd(&port.Pod, gateway)
		default:
			customEnd(&port.Pod, address, gateway, table(a, index))
		}
		port.Pod.Neighbors = append(port.Pod.Neighbors,
			desired.PodNeighbor{IP: gateway, MAC: port.SwitchMAC})
	}
	return port
}

// mainEnd gives the pod its default route.
func mainEnd(end *desired.PodEnd, gateway netip.Addr) {
	end.Routes = append(end.Routes, through(gateway, desired.MainTable)...)
}

// through are the routes of a table that lead everything to the gateway: it
// stands on the link, although no address says so.
func through(gateway netip.Addr, table int) []desired.PodRoute {
	return []desired.PodRoute{
		{Table: table, Dst: hostPrefix(gateway)},
		{Table: table, Dst: anywhere(gateway), Via: gateway},
	}
}

// customEnd gives an interface a routing table of its own, so that it answers
// on its address and its sockets leave by it, whatever the default route says.
func customEnd(end *desired.PodEnd, address, gateway netip.Addr, table int) {
	end.Routes = append(end.Routes, through(gateway, table)...)
	end.Rules = append(end.Rules,
		desired.PodRule{Priority: table, IPv6: address.Is6(), From: hostPrefix(address), Table: table},
		desired.PodRule{Priority: table, IPv6: address.Is6(), Table: table})
}

// gateway is the default network's gateway of the address's family. Networks
// with subnets of their own will have theirs.
func (n Node) gateway(address netip.Addr) (netip.Addr, bool) {
	for _, g := range n.Default.Gateways {
		if g.Is4() == address.Is4() {
			return g, true
		}
	}
	return netip.Addr{}, false
}

func anywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func (n Node) typed(i model.Interface, port desired.Port) (desired.Object, error) {
	switch i.Type {
	case podif.Veth:
		return desired.Veth{Port: port}, nil
	case podif.Tap:
		return desired.Tap{Port: port, Queues: i.Queues}, nil
	case podif.Memif:
		return n.memif(i, port)
	default:
		return nil, fmt.Errorf("%s is not a type that this version knows", i.Type)
	}
}

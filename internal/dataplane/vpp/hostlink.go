// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// The marks of the node's link in the kernel, beside linux.PortGroup: groups of its
// two ends, VPP's and the node's, an alias, and routes' protocol number.
const (
	hostGroup, nodeGroup = 0x5050, 0x5051
	hostAlias            = nodenet.AliasWord + " host-link"
	protocol             = nodenet.Protocol
)

// peerName is VPP's end of the node's link: vpp1's is vpp2.
func peerName(h desired.HostLink) string {
	return h.Name[:len(h.Name)-1] + string(h.Name[len(h.Name)-1]+1)
}

// peerMAC is the kernel's idea of the address of VPP's end. It is another than VPP's,
// so that the kernel takes no frame for its own.
func peerMAC(h desired.HostLink) model.MAC {
	mac := h.SwitchMAC
	mac[0] ^= 4
	return mac
}

// hostEnds are both ends as the kernel has them.
type hostEnds struct{ host, peer nl.Link }

// findHostEnds looks for the pair; ENODEV where there is none, ErrTaken where the
// name is another's.
func (d *Driver) findHostEnds(h desired.HostLink) (e hostEnds, err error) {
	e.host, err = d.kernel.Link(h.Name)
	if err != nil {
		return e, err
	}
	if e.host.Alias != hostAlias && e.host.Group != nodeGroup {
		return e, fmt.Errorf("link %s: %w", h.Name, dataplane.ErrTaken)
	}
	e.peer, err = d.kernel.Link(peerName(h))
	if errors.Is(err, unix.ENODEV) || err == nil && e.peer.Index != e.host.Peer {
		return e, fmt.Errorf("link %s is not the other end of %s: %w", peerName(h), h.Name, dataplane.ErrTaken)
	}
	return e, err
}

// makeHostEnds makes the kernel's part of the node's link.
func (d *Driver) makeHostEnds(h desired.HostLink) error {
	e, err := d.findHostEnds(h)
	if errors.Is(err, unix.ENODEV) {
		var b nl.Batch
		b.AddVeth(nl.Veth{
			VethEnd: nl.VethEnd{Name: h.Name, MAC: h.HostMAC}, Group: nodeGroup, MTU: h.MTU,
			Peer: nl.VethEnd{Name: peerName(h), MAC: peerMAC(h)}, PeerNamespace: d.ns,
			Unsegmented: true,
		}).OnError(func(err error) error { return fmt.Errorf("create veth: %w", err) })
		if err := d.kernel.Do(&b); err != nil {
			return err
		}
		e, err = d.findHostEnds(h)
	}
	if err != nil {
		return err
	}
	return d.configureHostEnds(h, e)
}

func (d *Driver) configureHostEnds(h desired.HostLink, e hostEnds) error {
	alias, group, mac, mtu := hostAlias, uint32(hostGroup), peerMAC(h), h.MTU
	hostMAC, hostEndGroup := h.HostMAC, uint32(nodeGroup)
	var b nl.Batch
	say := func(what string) func(error) error {
		return func(err error) error { return fmt.Errorf("%s: %w", what, err) }
	}
	b.SetLink(e.peer.Index, nl.LinkChange{Alias: &alias, Group: &group, MAC: &mac, MTU: &mtu, NoIPv6Address: hasIPv6(h), OwnSources: true}).
		OnError(say("configure " + peerName(h)))
	b.SetLink(e.peer.Index, nl.LinkChange{Up: true}).OnError(say("bring up " + peerName(h)))
	b.SetLink(e.host.Index, nl.LinkChange{Alias: &alias, Group: &hostEndGroup, MAC: &hostMAC, MTU: &mtu, NoIPv6Address: hasIPv6(h)}).
		OnError(say("configure " + h.Name))
	b.SetLink(e.host.Index, nl.LinkChange{Up: true}).OnError(say("bring up " + h.Name))
	for _, a := range h.Host {
		b.SetAddress(e.host.Index, a).OnError(say(fmt.Sprintf("add address %s to %s", a, h.Name)))
	}
	for _, a := range h.Switch {
		b.SetNeighbor(e.host.Index, a.Addr(), h.SwitchMAC).OnError(say(fmt.Sprintf("neighbour %s", a.Addr())))
	}
	for _, r := range hostRoutes(h, e.host.Index) {
		b.SetRoute(r).OnError(say(fmt.Sprintf("route to %s", r.Dst)))
	}
	return d.kernel.Do(&b)
}

func hasIPv6(h desired.HostLink) bool {
	return slices.ContainsFunc(h.Host, func(a netip.Prefix) bool { return a.Addr().Is6() })
}

// hostRoutes lead the node to its pods.
func hostRoutes(h desired.HostLink, link int) []nl.Route {
	var list []nl.Route
	for _, p := range h.Pods {
		for _, a := range h.Switch {
			if a.Addr().Is4() == p.Addr().Is4() {
				list = append(list, nl.Route{Link: link, Table: desired.MainTable, Dst: p, Via: a.Addr(), Protocol: protocol})
			}
		}
	}
	return list
}

// observeHostEnds reads the kernel's part back, as far as it is as wanted.
func (d *Driver) observeHostEnds(want desired.HostLink) (got desired.HostLink, exists bool, err error) {
	got = want
	e, err := d.findHostEnds(want)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, dataplane.ErrTaken) {
		return got, false, nil
	}
	if err != nil {
		return got, false, err
	}
	addresses, err := d.kernel.Addresses()
	if err != nil {
		return got, false, err
	}
	neighbors, err := d.kernel.Neighbors()
	if err != nil {
		return got, false, err
	}
	routes, err := d.kernel.Routes(protocol)
	if err != nil {
		return got, false, err
	}
	if got.HostMAC = e.host.MAC; !e.host.Up || !e.peer.Up || e.host.Group != nodeGroup || e.peer.Group != hostGroup || e.peer.MAC != peerMAC(want) {
		got.HostMAC = model.MAC{}
	}
	if got.MTU = e.host.MTU; e.peer.MTU != got.MTU {
		got.MTU = 0
	}
	got.Host = slices.DeleteFunc(slices.Clone(got.Host), func(a netip.Prefix) bool {
		return !slices.Contains(addresses, nl.Address{Link: e.host.Index, Prefix: a})
	})
	got.Switch = slices.DeleteFunc(slices.Clone(got.Switch), func(a netip.Prefix) bool {
		return !slices.Contains(neighbors, nl.Neighbor{Link: e.host.Index, IP: a.Addr(), MAC: want.SwitchMAC})
	})
	got.Pods = slices.DeleteFunc(slices.Clone(got.Pods), func(p netip.Prefix) bool {
		return !slices.ContainsFunc(hostRoutes(want, e.host.Index), func(r nl.Route) bool {
			return r.Dst == p && slices.Contains(routes, r)
		})
	})
	return got, true, nil
}

// removeHostEnds takes the pair away, and with it what is on it.
func (d *Driver) removeHostEnds(h desired.HostLink) error {
	e, err := d.findHostEnds(h)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, dataplane.ErrTaken) {
		return nil
	}
	if err != nil {
		return err
	}
	var b nl.Batch
	b.DelLink(e.host.Index).OnError(func(err error) error {
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		return fmt.Errorf("delete link %s: %w", h.Name, err)
	})
	return d.kernel.Do(&b)
}

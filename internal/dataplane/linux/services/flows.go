// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// flows are the datagram flows that may be stale after a change. A flow has no end of
// its own: while packets keep coming, the kernel sends them where it sent the first,
// to a backend that is gone, or nowhere, as the service was not known yet.
//
// It implements netlink.CustomConntrackFilter: what matches is deleted.
type flows struct {
	// now has, for each frontend that changed, the backends that serve it now.
	now map[frontendKey]map[netip.AddrPort]bool
	// gone has those that do not any more.
	gone       map[frontendKey]map[netip.AddrPort]bool
	has4, has6 bool
	// node has the node's own addresses, at which its ports are.
	node map[netip.Addr]bool
}

// service takes note of a change.
func (f *flows) service(was, is desired.Service) {
	if is.Key.Protocol != model.UDP {
		return
	}
	gone := slices.Concat(difference(was.Backends, is.Backends).gone, difference(was.Leaving, is.Leaving).gone)
	stays := map[frontendKey]bool{}
	// What leaves keeps what it has, at whichever frontend.
	now := serving(is.Backends, is.Leaving)
	for _, front := range is.Frontends {
		stays[keyOfFrontend(front, is.Key)] = true
	}
	had := map[frontendKey]bool{}
	for _, front := range was.Frontends {
		k := keyOfFrontend(front, is.Key)
		had[k] = true
		switch {
		case !stays[k]:
			f.stale(k, nil, serving(was.Backends, was.Leaving))
		case len(gone) > 0:
			f.stale(k, now, serving(gone))
		}
	}
	for k := range stays {
		if !had[k] {
			f.stale(k, now, nil)
		}
	}
}

func (f *flows) stale(k frontendKey, now, gone map[netip.AddrPort]bool) {
	if f.now == nil {
		f.now, f.gone = map[frontendKey]map[netip.AddrPort]bool{}, map[frontendKey]map[netip.AddrPort]bool{}
	}
	if now != nil || f.now[k] == nil {
		f.now[k] = now
	}
	if gone != nil {
		f.gone[k] = gone
	}
	f.has4, f.has6 = f.has4 || !k.isIPv6, f.has6 || k.isIPv6
}

// merge adds what is stale after a later change.
func (f *flows) merge(later flows) {
	if len(later.now) == 0 {
		return
	}
	if f.now == nil {
		f.now, f.gone = map[frontendKey]map[netip.AddrPort]bool{}, map[frontendKey]map[netip.AddrPort]bool{}
	}
	for k, now := range later.now {
		f.now[k] = now
		gone := maps.Clone(later.gone[k])
		if gone == nil {
			gone = map[netip.AddrPort]bool{}
		}
		maps.Copy(gone, f.gone[k])
		f.gone[k] = gone
	}
	f.has4, f.has6 = f.has4 || later.has4, f.has6 || later.has6
}

func serving(lists ...[]desired.Backend) map[netip.AddrPort]bool {
	set := make(map[netip.AddrPort]bool, len(lists[0]))
	for _, list := range lists {
		for _, e := range list {
			set[netip.AddrPortFrom(e.Address, e.Port)] = true
		}
	}
	return set
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f *flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != protocolNumber(model.UDP) {
		return false
	}
	asked, answers := addrPort(flow.Forward.DstIP, flow.Forward.DstPort), addrPort(flow.Reverse.SrcIP, flow.Reverse.SrcPort)
	k := frontendKey{asked.Addr(), model.UDP, asked.Port(), asked.Addr().Is6()}
	if now, changed := f.now[k]; changed && (f.gone[k][answers] || asked == answers) {
		return !now[answers]
	}
	k.address = netip.Addr{}
	now, changed := f.now[k]
	// Many have a port of that number: a flow of a node port is told by its backend,
	// or by the node's address where nobody translated it.
	return changed && (f.gone[k][answers] || asked == answers && f.node[asked.Addr()]) && !now[answers]
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port)
}

// forgetFlows deletes the flows that are stale.
func (t *Table) forgetFlows(f flows) error {
	if len(f.now) == 0 {
		return nil
	}
	own, err := netns.Own()
	if err != nil {
		return err
	}
	defer own.Close()
	h, err := nl.OpenTracking(own)
	if err != nil {
		return err
	}
	defer h.Close()
	addresses, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("forget flows of changed services: the node's addresses: %w", err)
	}
	f.node = map[netip.Addr]bool{}
	for _, a := range addresses {
		f.node[addrPort(a.IP, 0).Addr()] = true
	}
	for family, is := range map[netlink.InetFamily]bool{unix.AF_INET: f.has4, unix.AF_INET6: f.has6} {
		if !is {
			continue
		}
		if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, family, &f); err != nil {
			return fmt.Errorf("forget flows of changed services: %w", err)
		}
	}
	return nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package nl talks rtnetlink in a chosen network namespace. It is the netlink
// library with three things added: sockets born in the namespace without
// running anything else there, dumps that are repeated when the kernel says
// that they were interrupted, and events of several namespaces on one socket.
package nl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// Handle is a route netlink socket in one namespace. Its calls may be made
// concurrently; the kernel answers them one after another.
type Handle struct {
	*netlink.Handle
}

// Open makes a socket in the namespace. The socket keeps the namespace alive,
// so it is closed as soon as its work is done.
func Open(ns *netns.Handle) (*Handle, error) {
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &Handle{h}, nil
}

// Close closes the socket.
func (h *Handle) Close() { h.Handle.Close() }

// maxDumps bounds how often an interrupted dump is repeated. Under steady
// churn a dump succeeds within a few attempts.
const maxDumps = 20

// repeat calls a dump again as long as the kernel marks it as inconsistent
// (NLM_F_DUMP_INTR), as happens when links come and go meanwhile.
func repeat[T any](dump func() (T, error)) (T, error) {
	for range maxDumps - 1 {
		result, err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return result, err
		}
	}
	return dump()
}

// LinkList lists all links.
func (h *Handle) LinkList() ([]netlink.Link, error) {
	return repeat(h.Handle.LinkList)
}

// AddrList lists the addresses of all links, both families.
func (h *Handle) AddrList() ([]netlink.Addr, error) {
	return repeat(func() ([]netlink.Addr, error) {
		return h.Handle.AddrList(nil, netlink.FAMILY_ALL)
	})
}

// RouteList lists the routes of every table and both families that carry the
// routing protocol number.
func (h *Handle) RouteList(protocol int) ([]netlink.Route, error) {
	filter := &netlink.Route{Protocol: netlink.RouteProtocol(protocol), Table: unix.RT_TABLE_UNSPEC}
	var all []netlink.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := repeat(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, routes...)
	}
	return all, nil
}

// RuleList lists the policy routing rules of both families that carry the
// routing protocol number.
func (h *Handle) RuleList(protocol uint8) ([]netlink.Rule, error) {
	var all []netlink.Rule
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := repeat(func() ([]netlink.Rule, error) { return h.Handle.RuleList(family) })
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			if r.Protocol == protocol {
				r.Family = family
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// NeighList lists the permanent neighbour entries of all links, both families.
func (h *Handle) NeighList() ([]netlink.Neigh, error) {
	all, err := repeat(func() ([]netlink.Neigh, error) {
		return h.NeighListExecute(netlink.Ndmsg{State: netlink.NUD_PERMANENT})
	})
	return all, err
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package nl talks rtnetlink in a chosen network namespace: series of requests
// in one system call, lists that are consistent, and events of several
// namespaces on one socket. What is rare is left to the netlink library, on a
// socket born in the namespace.
package nl

import (
	"fmt"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// Handle is the netlink library on a socket in one namespace. Its calls may be
// made concurrently; the kernel answers them one after another.
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

// OpenTracking is Open for connection tracking too.
func OpenTracking(ns *netns.Handle) (*Handle, error) {
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.FD()), unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &Handle{h}, nil
}

// Close closes the socket.
func (h *Handle) Close() { h.Handle.Close() }

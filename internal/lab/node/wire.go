// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package node makes one lab node: a network namespace that plays the machine,
// another that plays what is behind it, and the programs that run on the node.
// Nothing is made in the machine's own network namespace.
package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// The names of the two ends of the link between node and outside.
const (
	uplinkName  = "uplink"
	outsideName = "node1"
)

// Uplink lists the node's addresses on the link to the outside, and Outside
// those of the other end: from the ranges for documentation (RFC 5737,
// RFC 3849), IPv4 first.
func Uplink() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}
}

// Outside lists the addresses of the outside; they are the node's gateways.
func Outside() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.0.2.254/24"), netip.MustParsePrefix("2001:db8::fe/64")}
}

// Wire pins the two namespaces at their paths and joins them: the node's
// default route leads to the outside, which has no route to any pod. What is
// there already is kept.
func Wire(nodePath, outsidePath string) error {
	for _, path := range []string{nodePath, outsidePath} {
		if err := netns.Pin(path); err != nil {
			return err
		}
	}
	node, err := openEnd(nodePath)
	if err != nil {
		return err
	}
	defer node.close()
	outside, err := openEnd(outsidePath)
	if err != nil {
		return err
	}
	defer outside.close()
	if err := join(node, outside); err != nil {
		return err
	}
	if err := outside.address(outsideName, Outside()); err != nil {
		return err
	}
	if err := node.address(uplinkName, Uplink()); err != nil {
		return err
	}
	return node.routeVia(uplinkName, Outside())
}

// join makes the link between the two, unless it is there.
func join(node, outside *end) error {
	_, err := node.LinkByName(uplinkName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		err = node.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: uplinkName},
			PeerName:      outsideName,
			PeerNamespace: netlink.NsFd(outside.ns.FD()),
		})
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", uplinkName, err)
	}
	return nil
}

// Loopback sets the loopback device up, which is all that a runtime does in a
// new namespace.
func Loopback(path string) error {
	e, err := openEnd(path)
	if err != nil {
		return err
	}
	e.close()
	return nil
}

// end is one namespace with a socket in it.
type end struct {
	*nl.Handle
	ns *netns.Handle
}

// openEnd opens the namespace and sees that its loopback device is up.
func openEnd(path string) (*end, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return nil, err
	}
	h, err := nl.Open(ns)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	e := &end{Handle: h, ns: ns}
	if err := e.up("lo"); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *end) close() {
	e.Close()
	_ = e.ns.Close() // it was opened for reading
}

func (e *end) up(name string) error {
	link, err := e.LinkByName(name)
	if err == nil {
		err = e.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

// address sets the link up with the addresses, which can be used at once.
func (e *end) address(name string, addresses []netip.Prefix) error {
	link, err := e.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	for _, a := range addresses {
		address := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			address.Flags = unix.IFA_F_NODAD
		}
		if err := e.AddrReplace(link, address); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, name, err)
		}
	}
	return e.up(name)
}

// routeVia makes the gateways the ways to everywhere, one for each family.
func (e *end) routeVia(name string, gateways []netip.Prefix) error {
	link, err := e.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	for _, g := range gateways {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: g.Addr().AsSlice()}
		if err := e.RouteReplace(route); err != nil {
			return fmt.Errorf("default route via %s: %w", g.Addr(), err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
)

// makeRoute leads the network's traffic for an address to its port.
func (s *session) makeRoute(r desired.Route) error {
	space, index, err := s.portLink(r.Network, r.Interface)
	if err != nil {
		return fmt.Errorf("route to %s: %w", r.Dst, err)
	}
	route := switchRoute(r, index)
	err = space.nl.RouteAdd(route)
	if errors.Is(err, unix.EEXIST) {
		err = replaceOurs(space, route)
	}
	if err != nil {
		return fmt.Errorf("route to %s: %w", r.Dst, err)
	}
	failpoint.Hit("switch-route")
	return nil
}

func switchRoute(r desired.Route, index int) *netlink.Route {
	return &netlink.Route{
		LinkIndex: index, Dst: ipNet(r.Dst), Family: family(r.Dst.Addr()),
		Scope: netlink.SCOPE_LINK, Protocol: protocol, Table: desired.MainTable,
	}
}

// replaceOurs replaces a route that an earlier agent left; another's stays.
func replaceOurs(space *space, route *netlink.Route) error {
	dst, _ := prefixOf(route.Dst)
	existing, err := space.nl.RouteList(protocol)
	if err != nil {
		return fmt.Errorf("look at it: %w", err)
	}
	for _, r := range existing {
		if destination(r) == dst && r.Table == route.Table {
			return space.nl.RouteReplace(route)
		}
	}
	return dataplane.ErrTaken
}

// makeNeighbor saves the network from asking who has the address.
func (s *session) makeNeighbor(n desired.Neighbor) error {
	space, index, err := s.portLink(n.Network, n.Interface)
	if err != nil {
		return fmt.Errorf("neighbour %s: %w", n.IP, err)
	}
	err = space.nl.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: family(n.IP), State: netlink.NUD_PERMANENT,
		IP: n.IP.AsSlice(), HardwareAddr: net.HardwareAddr(n.MAC[:]),
	})
	if err != nil {
		return fmt.Errorf("neighbour %s: %w", n.IP, err)
	}
	failpoint.Hit("switch-neighbor")
	return nil
}

// portLink finds the switch end of the owner's port.
func (s *session) portLink(network, port string) (*space, int, error) {
	space, err := s.driver.space(network)
	if err != nil {
		return nil, 0, err
	}
	if index, ok := s.links[port]; ok {
		return space, index, nil
	}
	link, err := space.nl.LinkByName(linkName(s.owner, port))
	if err != nil {
		return nil, 0, fmt.Errorf("port %s: %w", port, err)
	}
	s.links[port] = link.Attrs().Index
	return space, link.Attrs().Index, nil
}

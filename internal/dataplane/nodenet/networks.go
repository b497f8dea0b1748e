// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nodenet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// The marks of what polynic has in the node's namespace, whatever switches.
const (
	// Protocol marks routes (rtm_protocol): 'P', a number that /etc/iproute2/rt_protos
	// gives to nobody.
	Protocol = 80
	// AliasWord begins the alias (IFLA_IFALIAS) of every link.
	AliasWord = "polynic"
)

// Network is one that the node has and polynic did not make.
type Network struct {
	// Prefix is an address with its subnet's length, or a route's destination.
	Prefix netip.Prefix
	// Link is empty of a route by several, or by none.
	Link string
	// IsRoute tells a route from an address.
	IsRoute bool
}

// String is what a person finds it by: ADDRESS/LENGTH of LINK, or the route to DESTINATION.
func (n Network) String() string {
	text := n.Prefix.String()
	if n.IsRoute {
		text = "the route to " + text
	}
	if n.Link != "" {
		text += " of " + n.Link
	}
	return text
}

// takes reports whether packets to a range, or to some of it, are this network's: those
// of an address's subnet, and of a route that is not wider than the range. A wider
// one, like the default route, is for what nobody else has.
func (n Network) takes(r netip.Prefix) bool {
	return n.Prefix.Overlaps(r) && (!n.IsRoute || n.Prefix.Bits() >= r.Bits())
}

// InTheWay finds the first network that packets to a range would go to, or packets to
// which the range would have.
func InTheWay(list []Network, r netip.Prefix) (Network, bool) {
	for _, n := range list {
		if n.takes(r) {
			return n, true
		}
	}
	return Network{}, false
}

// Networks lists the addresses, and then the routes of the main table, of the
// namespace in which the caller is.
func Networks() (list []Network, err error) {
	ns, err := netns.Own()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	socket, err := nl.NewSocket(ns)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	links, err := socket.Links()
	if err != nil {
		return nil, err
	}
	addresses, err := socket.Addresses()
	if err != nil {
		return nil, err
	}
	routes, err := socket.AllRoutes()
	if err != nil {
		return nil, fmt.Errorf("the node's own: %w", err)
	}
	names, ours := map[int]string{}, map[int]bool{}
	for _, l := range links {
		names[l.Index], ours[l.Index] = l.Name, strings.HasPrefix(l.Alias, AliasWord+" ")
	}
	for _, a := range addresses {
		if !ours[a.Link] {
			list = append(list, Network{Prefix: a.Prefix, Link: names[a.Link]})
		}
	}
	for _, r := range routes {
		if r.Table == desired.MainTable && r.Protocol != Protocol && !ours[r.Link] {
			list = append(list, Network{Prefix: r.Dst, Link: names[r.Link], IsRoute: true})
		}
	}
	return list, nil
}

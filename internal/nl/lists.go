// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// Links lists all links (RTM_GETLINK).
func (s *Socket) Links() ([]Link, error) {
	request := newMessage(unix.RTM_GETLINK, 0, linkHeader(0, 0, 0)...)
	request.uint32(unix.IFLA_EXT_MASK, skipStatistics)
	links, err := dump(s, request, ParseLink)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return links, nil
}

// Address is an address of a link.
type Address struct {
	Link   int
	Prefix netip.Prefix
}

// Addresses lists the addresses of all links, both families (RTM_GETADDR).
func (s *Socket) Addresses() ([]Address, error) {
	list, err := dump(s, newMessage(unix.RTM_GETADDR, 0, make([]byte, unix.SizeofIfAddrmsg)...), ParseAddress)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return list, nil
}

// ParseAddress reads the message of an event of one (RTM_NEWADDR, RTM_DELADDR).
func ParseAddress(data []byte) (a Address, ok bool) {
	if len(data) < unix.SizeofIfAddrmsg {
		return a, false
	}
	bits := int(data[1])                                // ifa_prefixlen
	a.Link = int(binary.NativeEndian.Uint32(data[4:8])) // ifa_index
	for kind, value := range attributes(data[unix.SizeofIfAddrmsg:]) {
		// Of the two the first is the link's own, where they differ; of IPv6 there
		// is the second alone.
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && !a.Prefix.IsValid() {
			a.Prefix = prefix(value, bits)
		}
	}
	return a, a.Prefix.IsValid()
}

// Neighbor is a permanent neighbour entry.
type Neighbor struct {
	Link int
	IP   netip.Addr
	MAC  model.MAC
}

// Neighbors lists the permanent neighbour entries of all links, both families
// (RTM_GETNEIGH).
func (s *Socket) Neighbors() ([]Neighbor, error) {
	list, err := dump(s, newMessage(unix.RTM_GETNEIGH, 0, make([]byte, unix.SizeofNdMsg)...), parseNeighbor)
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	return list, nil
}

func parseNeighbor(data []byte) (n Neighbor, ok bool) {
	if len(data) < unix.SizeofNdMsg || binary.NativeEndian.Uint16(data[8:10])&unix.NUD_PERMANENT == 0 {
		return n, false
	}
	n.Link = int(binary.NativeEndian.Uint32(data[4:8])) // ndm_ifindex
	for kind, value := range attributes(data[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			n.IP, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			copy(n.MAC[:], value)
		}
	}
	return n, n.IP.IsValid()
}

// Routes lists the routes of every table and both families that carry the
// routing protocol number (RTM_GETROUTE).
func (s *Socket) Routes(protocol uint8) ([]Route, error) {
	return s.routes(protocol, func(r Route) bool { return r.Protocol == protocol }) // also where the kernel does not filter
}

// AllRoutes lists those of every table and both families, whoever made them.
func (s *Socket) AllRoutes() ([]Route, error) {
	return s.routes(unix.RTPROT_UNSPEC, func(Route) bool { return true })
}

func (s *Socket) routes(protocol uint8, take func(Route) bool) ([]Route, error) {
	var all []Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, unix.SizeofRtMsg)
		header[0], header[5] = family, protocol // rtm_family, rtm_protocol
		routes, err := dump(s, newMessage(unix.RTM_GETROUTE, 0, header...), func(data []byte) (Route, bool) {
			r, ok := parseRoute(data)
			return r, ok && take(r)
		})
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		all = append(all, routes...)
	}
	return all, nil
}

func parseRoute(data []byte) (r Route, ok bool) {
	if len(data) < unix.SizeofRtMsg {
		return r, false
	}
	// struct rtmsg: family, length of destination, …, table, protocol, scope, type
	zero := netip.IPv4Unspecified()
	if data[0] == unix.AF_INET6 {
		zero = netip.IPv6Unspecified()
	}
	bits := int(data[1])
	r.Dst = netip.PrefixFrom(zero, bits) // a default route's is left out
	r.Table, r.Protocol, r.Local = int(data[4]), data[5], data[7] == unix.RTN_LOCAL
	for kind, value := range attributes(data[unix.SizeofRtMsg:]) {
		switch {
		case kind == unix.RTA_DST:
			r.Dst = prefix(value, bits)
		case kind == unix.RTA_GATEWAY:
			r.Via, _ = netip.AddrFromSlice(value)
		case kind == unix.RTA_OIF && len(value) >= 4:
			r.Link = int(binary.NativeEndian.Uint32(value))
		case kind == unix.RTA_TABLE && len(value) >= 4:
			r.Table = int(binary.NativeEndian.Uint32(value))
		}
	}
	return r, r.Dst.IsValid()
}

// Rules lists the policy routing rules of both families that carry the routing
// protocol number (RTM_GETRULE).
func (s *Socket) Rules(protocol uint8) ([]Rule, error) {
	var all []Rule
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, ruleHeaderLen)
		header[0] = family
		rules, err := dump(s, newMessage(unix.RTM_GETRULE, 0, header...), func(data []byte) (Rule, bool) {
			r, ok := parseRule(data)
			return r, ok && r.Protocol == protocol
		})
		if err != nil {
			return nil, fmt.Errorf("list rules: %w", err)
		}
		all = append(all, rules...)
	}
	return all, nil
}

// ruleHeaderLen is that of struct fib_rule_hdr.
const ruleHeaderLen = 12

func parseRule(data []byte) (r Rule, ok bool) {
	if len(data) < ruleHeaderLen {
		return r, false
	}
	r.IPv6, r.Table = data[0] == unix.AF_INET6, int(data[4])
	bits := int(data[2])
	for kind, value := range attributes(data[ruleHeaderLen:]) {
		switch {
		case kind == unix.FRA_SRC:
			r.From = prefix(value, bits)
		case kind == unix.FRA_OIFNAME:
			r.Link = unix.ByteSliceToString(value)
		case kind == unix.FRA_PRIORITY && len(value) >= 4:
			r.Priority = int(binary.NativeEndian.Uint32(value))
		case kind == unix.FRA_TABLE && len(value) >= 4:
			r.Table = int(binary.NativeEndian.Uint32(value))
		case kind == vnl.FRA_PROTOCOL && len(value) >= 1:
			r.Protocol = value[0]
		}
	}
	return r, true
}

func prefix(value []byte, bits int) netip.Prefix {
	addr, _ := netip.AddrFromSlice(value)
	return netip.PrefixFrom(addr, bits)
}

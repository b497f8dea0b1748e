// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"math"
	"net/netip"

	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

func family(a netip.Addr) uint8 {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// SetAddress gives a link an address (RTM_NEWADDR), also one that it has. An
// IPv6 address is used at once, without a search for others that have it
// (IFA_F_NODAD); EACCES or EPERM where IPv6 is switched off on the link.
func (b *Batch) SetAddress(link int, address netip.Prefix) *Request {
	return b.add(addressMessage(link, address, unix.RT_SCOPE_UNIVERSE))
}

// SetQuietAddress does so with an address that the link answers for, and that no
// packet gets as its source for want of another: of IPv4 its scope is the link,
// where ARP asks from it; of IPv6 it is deprecated (RFC 6724, rule 3).
func (b *Batch) SetQuietAddress(link int, address netip.Prefix) *Request {
	if address.Addr().Is4() {
		return b.add(addressMessage(link, address, unix.RT_SCOPE_LINK))
	}
	m := addressMessage(link, address, unix.RT_SCOPE_UNIVERSE)
	// struct ifa_cacheinfo: preferred for no time, valid for ever
	lifetimes := binary.NativeEndian.AppendUint32(make([]byte, 4, 16), math.MaxUint32)
	m.attr(unix.IFA_CACHEINFO, append(lifetimes, 0, 0, 0, 0, 0, 0, 0, 0))
	return b.add(m)
}

func addressMessage(link int, address netip.Prefix, scope uint8) message {
	ip := address.Addr()
	var flags uint8
	if ip.Is6() {
		flags = unix.IFA_F_NODAD
	}
	// struct ifaddrmsg
	body := []byte{family(ip), uint8(address.Bits()), flags, scope}
	body = binary.NativeEndian.AppendUint32(body, uint32(link))
	m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body...)
	m.attr(unix.IFA_LOCAL, ip.AsSlice())
	m.attr(unix.IFA_ADDRESS, ip.AsSlice())
	return m
}

// SetNeighbor makes a permanent neighbour entry (RTM_NEWNEIGH), or alters one.
func (b *Batch) SetNeighbor(link int, ip netip.Addr, mac model.MAC) *Request {
	m := neighborMessage(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, link, ip)
	m.attr(unix.NDA_LLADDR, mac[:])
	return b.add(m)
}

// DelNeighbor removes a neighbour entry (RTM_DELNEIGH); ENOENT where there is
// none, ENODEV without the link.
func (b *Batch) DelNeighbor(link int, ip netip.Addr) *Request {
	return b.add(neighborMessage(unix.RTM_DELNEIGH, 0, link, ip))
}

func neighborMessage(kind, flags uint16, link int, ip netip.Addr) message {
	// struct ndmsg
	body := []byte{family(ip), 0, 0, 0}
	body = binary.NativeEndian.AppendUint32(body, uint32(link))
	body = binary.NativeEndian.AppendUint16(body, unix.NUD_PERMANENT)
	body = append(body, 0, 0)
	m := newMessage(kind, flags, body...)
	m.attr(unix.NDA_DST, ip.AsSlice())
	return m
}

// Route is one of a namespace's routes.
type Route struct {
	Link  int
	Table int
	Dst   netip.Prefix
	// Via is the gateway; the zero value makes a link-scope route.
	Via netip.Addr
	// Local makes the namespace take the packets itself (RTN_LOCAL).
	Local bool
	// Protocol marks who made it (rtm_protocol).
	Protocol uint8
}

// AddRoute makes a route (RTM_NEWROUTE); EEXIST where there is one to the same
// destination.
func (b *Batch) AddRoute(r Route) *Request {
	return b.add(routeMessage(unix.RTM_NEWROUTE, r, unix.NLM_F_CREATE|unix.NLM_F_EXCL))
}

// SetRoute makes a route in the place of one to the same destination.
func (b *Batch) SetRoute(r Route) *Request {
	return b.add(routeMessage(unix.RTM_NEWROUTE, r, unix.NLM_F_CREATE|unix.NLM_F_REPLACE))
}

// DelRoute removes a route (RTM_DELROUTE); ESRCH where there is none.
func (b *Batch) DelRoute(r Route) *Request {
	return b.add(routeMessage(unix.RTM_DELROUTE, r, 0))
}

func routeMessage(request uint16, r Route, flags uint16) message {
	var scope, kind, table uint8 = unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, unix.RT_TABLE_UNSPEC
	switch {
	case r.Local:
		kind = unix.RTN_LOCAL
		if r.Dst.Addr().Is4() {
			scope = unix.RT_SCOPE_HOST
		}
	case !r.Via.IsValid():
		scope = unix.RT_SCOPE_LINK
	}
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	// struct rtmsg
	body := []byte{family(r.Dst.Addr()), uint8(r.Dst.Bits()), 0, 0, table, r.Protocol, scope, kind, 0, 0, 0, 0}
	m := newMessage(request, flags, body...)
	m.attr(unix.RTA_DST, r.Dst.Addr().AsSlice())
	if r.Via.IsValid() {
		m.attr(unix.RTA_GATEWAY, r.Via.AsSlice())
	}
	m.uint32(unix.RTA_OIF, uint32(r.Link))
	m.uint32(unix.RTA_TABLE, uint32(r.Table))
	return m
}

// Rule is a policy routing rule: packets from an address, or, where From is the
// zero value, of sockets that are bound to a link, look into a table.
type Rule struct {
	Priority int
	IPv6     bool
	From     netip.Prefix
	Link     string // name; looked at without From only
	Table    int
	// Protocol marks who made it (FRA_PROTOCOL).
	Protocol uint8
}

// AddRule makes a rule (RTM_NEWRULE); EEXIST where it is there already.
func (b *Batch) AddRule(r Rule) *Request {
	return b.add(ruleMessage(unix.RTM_NEWRULE, r, unix.NLM_F_CREATE|unix.NLM_F_EXCL))
}

// DelRule removes a rule (RTM_DELRULE); ENOENT where there is none.
func (b *Batch) DelRule(r Rule) *Request {
	return b.add(ruleMessage(unix.RTM_DELRULE, r, 0))
}

func ruleMessage(request uint16, r Rule, flags uint16) message {
	length, family := 0, uint8(unix.AF_INET)
	if r.From.IsValid() {
		length = r.From.Bits()
	}
	if r.IPv6 {
		family = unix.AF_INET6
	}
	// struct fib_rule_hdr
	body := []byte{family, 0, uint8(length), 0, 0, 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0}
	m := newMessage(request, flags, body...)
	if r.From.IsValid() {
		m.attr(unix.FRA_SRC, r.From.Addr().AsSlice())
	} else {
		m.text(unix.FRA_OIFNAME, r.Link)
	}
	m.uint32(unix.FRA_PRIORITY, uint32(r.Priority))
	m.uint32(unix.FRA_TABLE, uint32(r.Table))
	m.uint8(vnl.FRA_PROTOCOL, r.Protocol)
	return m
}

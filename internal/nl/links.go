// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"

	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// linkHeader is struct ifinfomsg: family, type, index, flags and which of them
// to change.
func linkHeader(index int, flags, change uint32) []byte {
	header := make([]byte, 4, unix.SizeofIfInfomsg)
	header = binary.NativeEndian.AppendUint32(header, uint32(index))
	header = binary.NativeEndian.AppendUint32(header, flags)
	return binary.NativeEndian.AppendUint32(header, change)
}

// VethEnd is one end of a pair that is to be made.
type VethEnd struct {
	Name string
	MAC  model.MAC
}

// Veth is a pair of links, the peer in a namespace of its own from birth.
type Veth struct {
	VethEnd
	Group uint32 // of this end
	MTU   int    // of both ends
	Peer  VethEnd
	// PeerNamespace is where the peer is born.
	PeerNamespace *netns.Handle
	// Unsegmented has both ends send no packet that is still to be cut into several,
	// for a reader that takes them no longer than the MTU.
	Unsegmented bool
}

// AddVeth makes a pair (RTM_NEWLINK), down; EEXIST where either name is taken.
//
// Each end gets one queue. The kernel's default is one per possible CPU, each
// with entries in sysfs, which costs more than a third of the pair on two CPUs.
func (b *Batch) AddVeth(v Veth) *Request {
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkHeader(0, 0, 0)...)
	m.vethEnd(v.VethEnd, v.MTU)
	m.segments(v)
	m.uint32(unix.IFLA_GROUP, v.Group)
	m.nest(unix.IFLA_LINKINFO, func() {
		m.text(unix.IFLA_INFO_KIND, "veth")
		m.nest(unix.IFLA_INFO_DATA, func() {
			m.nest(vnl.VETH_INFO_PEER, func() {
				m = append(m, linkHeader(0, 0, 0)...)
				m.vethEnd(v.Peer, v.MTU)
				m.segments(v)
				m.uint32(unix.IFLA_NET_NS_FD, uint32(v.PeerNamespace.FD()))
			})
		})
	})
	return b.add(m)
}

func (m *message) vethEnd(end VethEnd, mtu int) {
	m.text(unix.IFLA_IFNAME, end.Name)
	m.attr(unix.IFLA_ADDRESS, end.MAC[:])
	m.uint32(unix.IFLA_MTU, uint32(mtu))
	m.uint32(unix.IFLA_NUM_TX_QUEUES, 1)
	m.uint32(unix.IFLA_NUM_RX_QUEUES, 1)
}

func (m *message) segments(v Veth) {
	if v.Unsegmented {
		m.uint32(unix.IFLA_GSO_MAX_SEGS, 1)
	}
}

// GetLink asks for a link by its name (RTM_GETLINK); ENODEV where there is none.
func (b *Batch) GetLink(name string, found func(Link)) *Request {
	m := newMessage(unix.RTM_GETLINK, 0, linkHeader(0, 0, 0)...)
	m.text(unix.IFLA_IFNAME, name)
	return b.getLink(m, found)
}

// GetLinkByIndex asks for a link by its number.
func (b *Batch) GetLinkByIndex(index int, found func(Link)) *Request {
	return b.getLink(newMessage(unix.RTM_GETLINK, 0, linkHeader(index, 0, 0)...), found)
}

// skipStatistics leaves out of an answer what nobody reads (IFLA_EXT_MASK,
// RTEXT_FILTER_SKIP_STATS in linux/rtnetlink.h).
const skipStatistics = 1 << 3

func (b *Batch) getLink(m message, found func(Link)) *Request {
	m.uint32(unix.IFLA_EXT_MASK, skipStatistics)
	r := b.add(m)
	r.answer = func(data []byte) error {
		link, ok := ParseLink(data)
		if !ok {
			return errors.New("a link that cannot be read")
		}
		found(link)
		return nil
	}
	return r
}

// SetNoQueue has a link send at once, without a queue (the queueing discipline
// noqueue at its root, RTM_NEWQDISC).
func (b *Batch) SetNoQueue(index int) *Request {
	const root = 1<<32 - 1 // TC_H_ROOT (linux/pkt_sched.h)
	// struct tcmsg: family, index, handle, parent, info
	body := []byte{unix.AF_UNSPEC, 0, 0, 0}
	for _, field := range []uint32{uint32(index), 0, root, 0} {
		body = binary.NativeEndian.AppendUint32(body, field)
	}
	m := newMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body...)
	m.text(unix.TCA_KIND, "noqueue")
	return b.add(m)
}

// LinkChange is what to set of a link; a nil or false field leaves that as it is.
type LinkChange struct {
	Alias *string
	Group *uint32
	MAC   *model.MAC
	MTU   *int
	// NoIPv6Address keeps the kernel from giving the link an address of its own
	// (IN6_ADDR_GEN_MODE_NONE); EAFNOSUPPORT on a kernel without IPv6.
	NoIPv6Address bool
	// OwnSources has the kernel take no IPv4 packet from the link, nor a neighbour
	// from an ARP request, whose source it would not reach through it (rp_filter 1,
	// strict; arp_filter, which the setting for all links cannot loosen).
	OwnSources bool
	// Up and Down bring the link up or down. The kernel does so before it looks at
	// NoIPv6Address.
	Up, Down bool
}

// Link looks for one by its name; ENODEV where there is none.
func (s *Socket) Link(name string) (Link, error) {
	var link Link
	var b Batch
	b.GetLink(name, func(l Link) { link = l })
	return link, s.Do(&b)
}

// LinkByIndex looks for one by its number; ENODEV where there is none.
func (s *Socket) LinkByIndex(index int) (Link, error) {
	var link Link
	var b Batch
	b.GetLinkByIndex(index, func(l Link) { link = l })
	return link, s.Do(&b)
}

// DelLink deletes a link (RTM_DELLINK), which takes the kernel a grace period;
// ENODEV where it is gone.
func (b *Batch) DelLink(index int) *Request {
	return b.add(newMessage(unix.RTM_DELLINK, 0, linkHeader(index, 0, 0)...))
}

// SetLink changes a link (RTM_SETLINK); ENODEV where it is gone.
func (b *Batch) SetLink(index int, c LinkChange) *Request {
	var flags, change uint32
	if c.Up {
		flags = unix.IFF_UP
	}
	if c.Up || c.Down {
		change = unix.IFF_UP
	}
	m := newMessage(unix.RTM_SETLINK, 0, linkHeader(index, flags, change)...)
	if c.Alias != nil {
		m.attr(unix.IFLA_IFALIAS, []byte(*c.Alias))
	}
	if c.Group != nil {
		m.uint32(unix.IFLA_GROUP, *c.Group)
	}
	if c.MAC != nil {
		m.attr(unix.IFLA_ADDRESS, c.MAC[:])
	}
	if c.MTU != nil {
		m.uint32(unix.IFLA_MTU, uint32(*c.MTU))
	}
	if c.NoIPv6Address || c.OwnSources {
		m.nest(unix.IFLA_AF_SPEC, func() { m.families(c) })
	}
	return b.add(m)
}

// families writes what a LinkChange has for IPv4 and IPv6.
func (m *message) families(c LinkChange) {
	if c.OwnSources {
		const on = 1
		m.nest(unix.AF_INET, func() {
			m.nest(unix.IFLA_INET_CONF, func() {
				m.uint32(rpFilter, on)
				m.uint32(arpFilter, on)
			})
		})
	}
	if c.NoIPv6Address {
		const none = 1 // IN6_ADDR_GEN_MODE_NONE (linux/if_link.h)
		m.nest(unix.AF_INET6, func() { m.uint8(unix.IFLA_INET6_ADDR_GEN_MODE, none) })
	}
}

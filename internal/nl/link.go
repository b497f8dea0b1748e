// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// Link is a network device, as far as anybody here wants to know.
type Link struct {
	Index int
	Name  string
	Kind  string // "veth", "tun" for taps too, "bridge"; empty of hardware and lo
	MAC   model.MAC
	MTU   int
	Group uint32
	Alias string
	// Up is what was asked for (IFF_UP); Running that the link can send
	// (IF_OPER_UP).
	Up, Running bool
	// Carrier is whether something is at the other end: of a tap, that a program has
	// its file (netif_carrier_ok).
	Carrier bool
	// OwnSources is as in LinkChange.
	OwnSources bool
	// Peer is the number of a veth's other end in its namespace, and
	// PeerNamespace the id of that namespace here, OwnNamespace if it is this one
	// or has none.
	Peer          int
	PeerNamespace int
}

// ParseLink reads the body of a link's message (RTM_NEWLINK, RTM_DELLINK).
func ParseLink(data []byte) (l Link, ok bool) {
	if len(data) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(data[4:])))
	l.Up = binary.NativeEndian.Uint32(data[8:])&unix.IFF_UP != 0
	l.PeerNamespace = OwnNamespace
	for kind, value := range attributes(data[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(value)
		case unix.IFLA_IFALIAS:
			l.Alias = unix.ByteSliceToString(value)
		case unix.IFLA_ADDRESS:
			copy(l.MAC[:], value)
		case unix.IFLA_LINKINFO:
			l.Kind = linkKind(value)
		case unix.IFLA_OPERSTATE:
			const operUp = 6 // IF_OPER_UP (linux/if.h)
			l.Running = len(value) > 0 && value[0] == operUp
		case unix.IFLA_CARRIER:
			l.Carrier = len(value) > 0 && value[0] != 0
		case unix.IFLA_AF_SPEC:
			l.OwnSources = hasOwnSources(value)
		default:
			if len(value) >= 4 {
				l.number(kind, binary.NativeEndian.Uint32(value))
			}
		}
	}
	return l, true
}

func (l *Link) number(kind uint16, value uint32) {
	switch kind {
	case unix.IFLA_MTU:
		l.MTU = int(value)
	case unix.IFLA_GROUP:
		l.Group = value
	case unix.IFLA_LINK:
		l.Peer = int(value)
	case unix.IFLA_LINK_NETNSID:
		l.PeerNamespace = int(int32(value))
	}
}

// The numbers of a link's settings of IPv4 (IPV4_DEVCONF_RP_FILTER and
// IPV4_DEVCONF_ARPFILTER in linux/ip.h), which count from 1.
const rpFilter, arpFilter = 8, 13

// hasOwnSources looks at the settings of IPv4, one 32-bit number after the other.
func hasOwnSources(families []byte) bool {
	for family, value := range attributes(families) {
		for kind, settings := range attributes(value) {
			if family != unix.AF_INET || kind != unix.IFLA_INET_CONF || len(settings) < 4*arpFilter {
				continue
			}
			of := func(n int) uint32 { return binary.NativeEndian.Uint32(settings[4*(n-1):]) }
			return of(rpFilter) == 1 && of(arpFilter) == 1
		}
	}
	return false
}

func linkKind(info []byte) string {
	for kind, value := range attributes(info) {
		if kind == unix.IFLA_INFO_KIND {
			return unix.ByteSliceToString(value)
		}
	}
	return ""
}

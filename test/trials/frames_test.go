// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// host is who a frame says that it is from, or is for.
type host struct {
	mac    [6]byte
	v4, v6 netip.Addr
}

// note is in every frame that an application of a trial sends, as payload and
// behind the packet, where Ethernet allows for padding: by it the frame is known
// wherever it gets.
type note string

func everybody() [6]byte { return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

func (n note) frame(to, from [6]byte, ethertype uint16, packet []byte) []byte {
	f := append(append([]byte{}, to[:]...), from[:]...)
	f = binary.BigEndian.AppendUint16(f, ethertype)
	return append(append(f, packet...), n...)
}

// datagram4 is a UDP datagram to a MAC and an address.
func (n note) datagram4(from host, mac [6]byte, to netip.Addr) []byte {
	return n.frame(mac, from.mac, unix.ETH_P_IP, ipv4(from.v4, to, unix.IPPROTO_UDP, n.udp()))
}

func (n note) datagram6(from host, mac [6]byte, to netip.Addr) []byte {
	return n.frame(mac, from.mac, unix.ETH_P_IPV6, ipv6(from.v6, to, unix.IPPROTO_UDP, 6, n.udp()))
}

// udp is of and to the port that discards.
func (n note) udp() []byte {
	return append([]byte{0, 9, 0, 9, 0, byte(8 + len(n)), 0, 0}, n...)
}

func (n note) ping4(from, to host) []byte {
	icmp := append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, n...)
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return n.frame(to.mac, from.mac, unix.ETH_P_IP, ipv4(from.v4, to.v4, unix.IPPROTO_ICMP, icmp))
}

func (n note) ping6(from, to host) []byte {
	icmp := append([]byte{128, 0, 0, 0, 0, 1, 0, 1}, n...)
	return n.frame(to.mac, from.mac, unix.ETH_P_IPV6, ipv6(from.v6, to.v6, unix.IPPROTO_ICMPV6, 2, icmp))
}

// Operations of ARP, and messages of neighbour discovery.
const (
	arpRequest    = 1
	arpReply      = 2
	solicitation  = 135
	advertisement = 136
)

// arp tells all that the host's address is at its MAC; a request asks for another
// host's besides.
func (n note) arp(operation byte, from host, asked netip.Addr) []byte {
	packet := append([]byte{0, 1, 8, 0, 6, 4, 0, operation}, from.mac[:]...)
	packet = append(append(packet, from.v4.AsSlice()...), 0, 0, 0, 0, 0, 0)
	return n.frame(everybody(), from.mac, unix.ETH_P_ARP, append(packet, asked.AsSlice()...))
}

// solicit asks for a host, and tells that the asker's address is at its MAC.
func (n note) solicit(from host, asked netip.Addr) []byte {
	last := asked.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: last[13], 14: last[14], 15: last[15]})
	icmp := append([]byte{solicitation, 0, 0, 0, 0, 0, 0, 0}, asked.AsSlice()...)
	icmp = append(append(icmp, 1, 1), from.mac[:]...)
	return n.frame([6]byte{0x33, 0x33, 0xff, last[13], last[14], last[15]}, from.mac, unix.ETH_P_IPV6,
		ipv6(from.v6, group, unix.IPPROTO_ICMPV6, 2, icmp))
}

// advertise tells all that an address is at the host's MAC, whatever they knew.
func (n note) advertise(from host, advertised netip.Addr) []byte {
	const override = 1 << 5
	icmp := append([]byte{advertisement, 0, 0, 0, override, 0, 0, 0}, advertised.AsSlice()...)
	icmp = append(append(icmp, 2, 1), from.mac[:]...)
	return n.frame([6]byte{0x33, 0x33, 5: 1}, from.mac, unix.ETH_P_IPV6,
		ipv6(from.v6, netip.IPv6LinkLocalAllNodes(), unix.IPPROTO_ICMPV6, 2, icmp))
}

func ipv4(from, to netip.Addr, protocol byte, payload []byte) []byte {
	header := []byte{0x45, 0, 0, byte(20 + len(payload)), 0, 0, 0, 0, 64, protocol, 0, 0}
	header = append(append(header, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(header, payload...)
}

// ipv6 completes the payload's checksum, which is at an offset in it. The hop
// limit is that of neighbour discovery.
func ipv6(from, to netip.Addr, protocol byte, at int, payload []byte) []byte {
	addresses := append(from.AsSlice(), to.AsSlice()...)
	pseudo := append(append([]byte{}, addresses...), 0, 0, 0, byte(len(payload)), 0, 0, 0, protocol)
	binary.BigEndian.PutUint16(payload[at:], checksum(append(pseudo, payload...)))
	packet := append([]byte{0x60, 0, 0, 0, 0, byte(len(payload)), protocol, 255}, addresses...)
	return append(packet, payload...)
}

func checksum(data []byte) uint16 {
	if len(data)%2 == 1 {
		data = append(append([]byte{}, data...), 0)
	}
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

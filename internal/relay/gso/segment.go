// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package gso

import "encoding/binary"

// segment is a TCP packet that may be joined with others.
type segment struct {
	packet  []byte
	l3, l4  int
	payload int // where it is; it goes on to the end of the packet
	hash    uint32
	seq     uint32
	id      uint16 // IPv4
	anyID   bool   // DF: the identification means nothing (RFC 6864, 4.1)
	last    bool   // PSH: the data after it are another piece
}

// parse reports whether a packet may be joined with others: TCP with payload
// and no flags beyond ACK, PSH and ECE, in IPv4 without options and fragments or
// IPv6 without extensions, and nothing behind it. Of another TCP packet it only
// finds the hash.
func parse(packet []byte) (s segment, ok bool) {
	l3, version := network(packet)
	s = segment{packet: packet, l3: l3}
	var length int
	switch ip := packet[min(l3, len(packet)):]; {
	case version == 4 && len(ip) >= ipv4Len+tcpLen && ip[0] == 0x45 && ip[9] == protoTCP:
		s.l4 = l3 + ipv4Len
		s.id = binary.BigEndian.Uint16(ip[4:])
		fragment := binary.BigEndian.Uint16(ip[6:])
		s.anyID = fragment == 0x4000
		ok = fragment == 0 || s.anyID
		length = int(binary.BigEndian.Uint16(ip[2:]))
	case version == 6 && len(ip) >= ipv6Len+tcpLen && ip[6] == protoTCP:
		s.l4 = l3 + ipv6Len
		ok = true
		length = ipv6Len + int(binary.BigEndian.Uint16(ip[4:]))
	default:
		return s, false
	}
	tcp := packet[s.l4:]
	s.hash = hash(packet[s.l4-8 : s.l4+4])
	s.seq = binary.BigEndian.Uint32(tcp[4:])
	s.last = tcp[13]&flagPSH != 0
	header := int(tcp[12]>>4) * 4
	s.payload = s.l4 + header
	return s, ok && l3+length == len(packet) && header >= tcpLen && s.payload < len(packet) &&
		tcp[13]&^(flagPSH|flagECE) == flagACK
}

// hash tells flows apart by the ends of their addresses and the ports. Two that
// have the same are only joined less well.
func hash(b []byte) uint32 {
	h := binary.LittleEndian.Uint64(b) ^ uint64(binary.LittleEndian.Uint32(b[8:]))*0x9e3779b97f4a7c15
	h *= 0xff51afd7ed558ccd
	return uint32(h>>32) | 1 // 0 is no flow
}

func (s *segment) size() int { return len(s.packet) - s.payload }

// alike reports whether the headers are the same but for what tells where in the
// flow the packets are.
func (s *segment) alike(o *segment) bool {
	if s.l3 != o.l3 || s.l4 != o.l4 || s.payload != o.payload {
		return false
	}
	a, b := s.packet, o.packet
	ip := s.l3
	if s.l4-s.l3 == ipv4Len { // all but length, identification and checksum
		if !same(a, b, ip+6, ip+10) || !same(a, b, ip+12, s.l4) || !same(a, b, 0, ip+2) {
			return false
		}
	} else if !same(a, b, 0, ip+4) || !same(a, b, ip+6, s.l4) { // all but length
		return false
	}
	// All but sequence number, PSH and checksum.
	tcp := s.l4
	return same(a, b, tcp, tcp+4) && same(a, b, tcp+8, tcp+13) &&
		(a[tcp+13]^b[tcp+13])&^flagPSH == 0 && same(a, b, tcp+14, tcp+tcpCsumAt) && same(a, b, tcp+18, s.payload)
}

func same(a, b []byte, from, to int) bool { return string(a[from:to]) == string(b[from:to]) }

// check reports whether the checksums are what a sender would have made of the
// packet. One that is equivalent, but another number, does not count.
func (s *segment) check() bool {
	if ip := s.packet[s.l3:s.l4]; len(ip) == ipv4Len && headerChecksum(ip) != binary.BigEndian.Uint16(ip[10:]) {
		return false
	}
	tcp := s.packet[s.l4:]
	all := pseudo(s.packet, s.l3, protoTCP, len(tcp)) + sum(tcp[:tcpCsumAt]) + sum(tcp[tcpCsumAt+2:])
	return checksum(all) == binary.BigEndian.Uint16(tcp[tcpCsumAt:])
}

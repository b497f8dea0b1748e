// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package gso

import "encoding/binary"

// Large reports whether a frame, which is at least HeaderLen long, is to be cut.
func Large(frame []byte) bool { return frame[hdrType] != typeNone }

// Complete fills in the checksum that a frame was left without, and gives the
// packet behind the header. The frame is not a large one.
func Complete(frame []byte) ([]byte, error) {
	packet := frame[HeaderLen:]
	if frame[hdrFlags]&needsCsum == 0 {
		return packet, nil
	}
	start := int(binary.NativeEndian.Uint16(frame[hdrCsumStart:]))
	at := start + int(binary.NativeEndian.Uint16(frame[hdrCsumOffset:]))
	if at+2 > len(packet) {
		return nil, malformed("a checksum at %d of %d bytes", at, len(packet))
	}
	// The field has the sum of the pseudo header.
	c := checksum(sum(packet[start:]))
	if c == 0 && at == start+udpCsumAt {
		c = 0xffff // in UDP 0 says that there is none; to TCP it is the same
	}
	binary.BigEndian.PutUint16(packet[at:], c)
	return packet, nil
}

// Segments are the packets that a large frame consists of.
type Segments struct {
	packet  []byte // all of them in one
	l3, l4  int    // where these headers are
	payload int    // where the payload is
	proto   byte
	size    int    // of the payload in all packets but the last
	base    uint32 // sum of the pseudo header without the length
	next    int    // where the payload of the next packet is
	index   int    // of the next packet
	header  [maxHeader]byte
}

// Cut begins to cut a large frame, which is not changed.
func Cut(frame []byte) (Segments, error) {
	s := Segments{packet: frame[HeaderLen:]}
	s.size = int(binary.NativeEndian.Uint16(frame[hdrSize:]))
	s.l4 = int(binary.NativeEndian.Uint16(frame[hdrCsumStart:]))
	if frame[hdrFlags]&needsCsum == 0 || s.size == 0 {
		return Segments{}, malformed("segments of %d bytes, flags %#x", s.size, frame[hdrFlags])
	}
	l3, version := network(s.packet)
	s.l3 = l3
	kind := frame[hdrType] &^ typeECN
	switch {
	case kind == typeTCPv4 && version == 4, kind == typeTCPv6 && version == 6:
		s.proto = protoTCP
	case kind == typeUDP && version != 0:
		s.proto = protoUDP
	default:
		return Segments{}, malformed("offload type %#x with IP version %d", kind, version)
	}
	if err := s.locate(version); err != nil {
		return Segments{}, err
	}
	s.base = pseudo(s.packet, s.l3, s.proto, 0)
	s.next = s.payload
	copy(s.header[:], s.packet[:s.payload])
	return s, nil
}

// locate checks where the headers are.
func (s *Segments) locate(version byte) error {
	n := len(s.packet)
	fits := false
	switch ip := s.packet[s.l3:]; {
	case version == 4 && len(ip) >= ipv4Len:
		header := int(ip[0]&0xf) * 4
		fits = header >= ipv4Len && s.l4 == s.l3+header && ip[9] == s.proto
	case version == 6 && len(ip) >= ipv6Len:
		fits = s.l4 == s.l3+ipv6Len && ip[6] == s.proto
	}
	if !fits {
		return malformed("no header of protocol %d at %d of %d bytes", s.proto, s.l4, n)
	}
	header := udpLen
	if s.proto == protoTCP {
		header = tcpLen
		if s.l4+tcpLen <= n {
			header = int(s.packet[s.l4+12]>>4) * 4
		}
	}
	s.payload = s.l4 + header
	if s.payload >= n || s.proto == protoTCP && header < tcpLen {
		return malformed("a header of %d bytes at %d of %d bytes", header, s.l4, n)
	}
	return nil
}

// Left is the number of packets that are left.
func (s *Segments) Left() int {
	if s.size == 0 {
		return 0
	}
	return (len(s.packet) - s.next + s.size - 1) / s.size
}

// NextLen implements memif.Composer: the length of the next packet, or 0 if there
// is none.
func (s *Segments) NextLen() int {
	if s.next == len(s.packet) {
		return 0
	}
	return s.payload + min(s.size, len(s.packet)-s.next)
}

// Next implements memif.Composer: it writes the next packet to a buffer of its
// length, each byte once, and reads nothing there: others may write to it too.
func (s *Segments) Next(p []byte) {
	payload := s.packet[s.next : s.next+len(p)-s.payload]
	copy(p[s.payload:], payload)
	s.next += len(payload)
	if ip := s.header[s.l3:s.l4]; ip[0]>>4 == 4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(p)-s.l3))
		id := binary.BigEndian.Uint16(s.packet[s.l3+4:])
		binary.BigEndian.PutUint16(ip[4:], id+uint16(s.index))
		binary.BigEndian.PutUint16(ip[10:], headerChecksum(ip))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(p)-s.l4))
	}
	// The sum of a copy is faster than a sum and copy in one pass: copy uses wider
	// registers, and leaves the payload in the nearest cache.
	rest := s.base + uint32(len(p)-s.l4) + sum(payload)
	if l4 := s.header[s.l4:s.payload]; s.proto == protoTCP {
		s.finishTCP(l4, rest)
	} else {
		s.finishUDP(l4, uint16(len(p)-s.l4), rest)
	}
	copy(p, s.header[:s.payload])
	s.index++
}

// finishTCP makes the header that of the packet at s.index; rest is the sum of
// all that it does not have. What is said once (CWR) is in the first packet, what
// ends (FIN, PSH) in the last.
func (s *Segments) finishTCP(l4 []byte, rest uint32) {
	first := s.packet[s.l4:s.payload]
	binary.BigEndian.PutUint32(l4[4:], binary.BigEndian.Uint32(first[4:])+uint32(s.index*s.size))
	l4[13] = first[13]
	if s.index > 0 {
		l4[13] &^= flagCWR
	}
	if s.NextLen() > 0 {
		l4[13] &^= flagFIN | flagPSH
	}
	binary.BigEndian.PutUint16(l4[tcpCsumAt:], 0)
	binary.BigEndian.PutUint16(l4[tcpCsumAt:], checksum(rest+sum(l4)))
}

func (s *Segments) finishUDP(l4 []byte, length uint16, rest uint32) {
	binary.BigEndian.PutUint16(l4[4:], length)
	binary.BigEndian.PutUint16(l4[udpCsumAt:], 0)
	c := checksum(rest + sum(l4))
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(l4[udpCsumAt:], c)
}

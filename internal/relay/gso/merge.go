// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package gso

import "encoding/binary"

const (
	// maxPieces bounds the packets of a frame. With packets of 1500 bytes the
	// length of an IP packet does so first.
	maxPieces = 64
	// maxOpen bounds the flows that are being joined at a time.
	maxOpen = 8
	// maxIP is the greatest length that an IP header can say.
	maxIP = 65535
)

// Merger joins packets to frames. It is for one goroutine at a time, and does
// not allocate but for its first bursts.
type Merger struct {
	packets [][]byte
	frames  []frame
	after   []int32 // the packet that follows a packet in its frame; 0 is none
	open    [maxOpen]int
	opened  int
}

// frame is what becomes of one packet or several.
type frame struct {
	head        segment // of the first packet
	first, last int     // packets
	pieces      int
	length      int // of the packet that all are joined to
	fixedID     bool
	psh         bool
}

// Merge joins the packets of a burst, Ethernet frames that may be empty, and
// gives the number of frames, which Frame describes until the next call. The
// packets are changed. Those of a flow keep their order.
//
// Joined are segments of TCP that follow each other in the sequence, with the
// same headers (addresses, class, TTL, acknowledgement, window, flags, options)
// and the same length, but for the last, which may be shorter and have PSH; and
// whose checksums are right. That is what the kernel does (tcp_gro_receive),
// which however tolerates other windows.
func (m *Merger) Merge(packets [][]byte) int {
	m.packets, m.frames, m.after, m.opened = packets, m.frames[:0], m.after[:0], 0
	for i, p := range packets {
		m.after = append(m.after, 0)
		s, ok := parse(p)
		at := m.find(s.hash)
		if ok && at >= 0 && m.frames[m.open[at]].add(&s) {
			f := &m.frames[m.open[at]]
			m.after[f.last] = int32(i)
			f.last = i
			if f.full(&s) {
				m.shut(at)
			}
			continue
		}
		m.frames = append(m.frames, frame{head: s, first: i, last: i, pieces: 1, length: len(p)})
		switch {
		case at >= 0 && ok && !s.last:
			m.open[at] = len(m.frames) - 1
		case at >= 0:
			m.shut(at)
		case ok && !s.last:
			m.start(len(m.frames) - 1)
		}
	}
	return len(m.frames)
}

// find gives the place in m.open of the frame of a flow, or -1.
func (m *Merger) find(h uint32) int {
	if h == 0 {
		return -1
	}
	for at, f := range m.open[:m.opened] {
		if m.frames[f].head.hash == h {
			return at
		}
	}
	return -1
}

// start opens a frame, instead of the oldest if there are too many.
func (m *Merger) start(f int) {
	if m.opened == maxOpen {
		m.shut(0)
	}
	m.open[m.opened] = f
	m.opened++
}

func (m *Merger) shut(at int) {
	m.opened--
	copy(m.open[at:m.opened], m.open[at+1:])
}

// add makes the segment part of the frame if it can be.
func (f *frame) add(s *segment) bool {
	h := &f.head
	distance := s.id - h.id
	follows := distance == uint16(f.pieces) && !f.fixedID
	if f.pieces == 1 || f.fixedID {
		follows = follows || distance == 0 && h.anyID
	}
	if s.size() > h.size() || s.seq != h.seq+uint32(f.length-h.payload) {
		return false
	}
	v4 := h.l4-h.l3 == ipv4Len
	if v4 && !follows || f.length+s.size()-h.l3 > maxIP || !h.alike(s) {
		return false
	}
	if f.pieces == 1 && !h.check() || !s.check() {
		return false
	}
	f.fixedID = v4 && distance == 0
	f.pieces++
	f.length += s.size()
	f.psh = s.last
	return true
}

// full reports whether nothing can follow the segment, which was added last.
func (f *frame) full(s *segment) bool {
	return s.last || s.size() < f.head.size() || f.pieces == maxPieces
}

// Frame describes a frame: it appends the pieces that it consists of, which are
// parts of packets, to a slice, and writes the header that comes before them.
func (m *Merger) Frame(index int, header *[HeaderLen]byte, pieces [][]byte) [][]byte {
	f := &m.frames[index]
	*header = [HeaderLen]byte{}
	pieces = append(pieces, m.packets[f.first])
	if f.pieces == 1 {
		return pieces
	}
	f.finish(header)
	for i := m.after[f.first]; i != 0; i = m.after[i] {
		pieces = append(pieces, m.packets[i][f.head.payload:])
	}
	return pieces
}

// finish makes the headers of the first packet those of all.
func (f *frame) finish(header *[HeaderLen]byte) {
	h := &f.head
	header[hdrFlags] = needsCsum
	binary.NativeEndian.PutUint16(header[hdrHdrLen:], uint16(h.payload))
	binary.NativeEndian.PutUint16(header[hdrSize:], uint16(h.size()))
	binary.NativeEndian.PutUint16(header[hdrCsumStart:], uint16(h.l4))
	binary.NativeEndian.PutUint16(header[hdrCsumOffset:], tcpCsumAt)
	ip, tcp := h.packet[h.l3:h.l4], h.packet[h.l4:]
	if len(ip) == ipv4Len {
		header[hdrType] = typeTCPv4
		binary.BigEndian.PutUint16(ip[2:], uint16(f.length-h.l3))
		binary.BigEndian.PutUint16(ip[10:], headerChecksum(ip))
	} else {
		header[hdrType] = typeTCPv6
		binary.BigEndian.PutUint16(ip[4:], uint16(f.length-h.l4))
	}
	if f.psh {
		tcp[13] |= flagPSH
	}
	binary.BigEndian.PutUint16(tcp[tcpCsumAt:], uint16(fold(pseudo(h.packet, h.l3, protoTCP, f.length-h.l4))))
}

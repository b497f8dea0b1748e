// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package gso

import (
	"encoding/binary"
	"math/bits"
)

// sum adds up 16-bit words, as the internet checksum does (RFC 1071), and folds
// the result, which is 0 only for zeros. An odd byte at the end counts as the
// higher half of a word.
//
// The sum does not depend on the order of bytes in a word, but for its own: so
// it is made of whatever words are fastest to read.
func sum(b []byte) uint32 {
	var s, carry, carries uint64
	for len(b) >= 64 {
		w := (*[64]byte)(b)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[:]), 0)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[8:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[16:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[24:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[32:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[40:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[48:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(w[56:]), carry)
		carries += carry
		b = b[64:]
	}
	s, carry = bits.Add64(s, carries, 0)
	s += carry
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s, carry = bits.Add64(s, 0, carry)
		s += carry
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	s, carry = bits.Add64(s, binary.LittleEndian.Uint64(last[:]), 0)
	s, carry = bits.Add64(s, 0, carry)
	s += carry
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	return uint32(bits.ReverseBytes16(uint16(fold(uint32(s)))))
}

// fold brings a sum to 16 bits.
func fold(s uint32) uint32 {
	s = s>>16 + s&0xffff
	return s>>16 + s&0xffff
}

// checksum is what a header has for a sum.
func checksum(s uint32) uint16 { return ^uint16(fold(s)) }

// pseudo is the sum of the pseudo header of TCP and UDP (RFC 9293, 3.1, and
// RFC 8200, 8.1) for a packet whose IP header is at l3 and that has length bytes
// behind it.
func pseudo(packet []byte, l3 int, proto byte, length int) uint32 {
	addresses := packet[l3+12 : l3+ipv4Len]
	if packet[l3]>>4 == 6 {
		addresses = packet[l3+8 : l3+ipv6Len]
	}
	return sum(addresses) + uint32(proto) + uint32(length)
}

// headerChecksum is that of an IPv4 header, whatever the header has for it.
func headerChecksum(header []byte) uint16 {
	return checksum(sum(header[:10]) + sum(header[12:]))
}

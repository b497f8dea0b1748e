// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package echo answers what an application at a memif is asked before anything
// else: ARP, neighbour discovery and pings, IPv4 and IPv6.
package echo

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// Host is who answers on an interface.
type Host struct {
	MAC       [6]byte
	Addresses []netip.Addr
}

// Lengths of headers, in bytes.
const (
	ethernet = 14
	arp      = 28
	ipv4     = 20
	ipv6     = 40
	echo     = 8
	neighbor = 24 // a neighbour solicitation or advertisement, without options
)

// Answer gives the answer to a frame, nil where there is none. It may use the
// frame's memory.
func (h Host) Answer(frame []byte) []byte {
	if len(frame) < ethernet {
		return nil
	}
	packet := frame[ethernet:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0806:
		return h.answerARP(frame, packet)
	case 0x0800:
		return h.answerIPv4(frame, packet)
	case 0x86dd:
		return h.answerIPv6(frame, packet)
	default:
		return nil
	}
}

func (h Host) has(address []byte) bool {
	a, ok := netip.AddrFromSlice(address)
	return ok && slices.Contains(h.Addresses, a)
}

// back sends a frame where it came from.
func (h Host) back(frame []byte) []byte {
	copy(frame[:6], frame[6:12])
	copy(frame[6:], h.MAC[:])
	return frame
}

// answerARP answers who asks for an address of ours (RFC 826).
func (h Host) answerARP(frame, packet []byte) []byte {
	if len(packet) < arp || !bytes.Equal(packet[:8], []byte{0, 1, 8, 0, 6, 4, 0, 1}) || !h.has(packet[24:28]) {
		return nil
	}
	asked := [4]byte(packet[24:28])
	copy(packet[18:28], packet[8:18]) // the sender becomes the target
	copy(packet[8:], h.MAC[:])
	copy(packet[14:], asked[:])
	packet[7] = 2 // a reply
	return h.back(frame[:ethernet+arp])
}

// answerIPv4 answers pings (RFC 792).
func (h Host) answerIPv4(frame, packet []byte) []byte {
	const icmp, echoRequest, echoReply = 1, 8, 0
	if len(packet) < ipv4+echo || packet[0] != 0x45 || packet[9] != icmp || packet[ipv4] != echoRequest || !h.has(packet[16:20]) {
		return nil
	}
	swap(packet[12:16], packet[16:20])
	packet[ipv4] = echoReply
	add(packet[ipv4+2:], echoRequest<<8)
	return h.back(frame)
}

// answerIPv6 answers pings (RFC 4443) and who asks for an address of ours
// (RFC 4861).
func (h Host) answerIPv6(frame, packet []byte) []byte {
	const icmp, echoRequest, echoReply, solicitation = 58, 128, 129, 135
	if len(packet) < ipv6+echo || packet[0]>>4 != 6 || packet[6] != icmp {
		return nil
	}
	message := packet[ipv6:]
	switch {
	case message[0] == echoRequest && h.has(packet[24:40]):
		swap(packet[8:24], packet[24:40])
		message[0] = echoReply
		add(message[2:], 0xffff-(echoReply-echoRequest)<<8)
		return h.back(frame)
	case message[0] == solicitation && len(message) >= neighbor && h.has(message[8:24]):
		return h.advertise([6]byte(frame[6:12]), [16]byte(packet[8:24]), [16]byte(message[8:24]))
	default:
		return nil
	}
}

// advertise tells who asked, unless that is nobody yet, that an address is ours.
func (h Host) advertise(mac [6]byte, asker, asked [16]byte) []byte {
	if netip.AddrFrom16(asker).IsUnspecified() {
		return nil
	}
	const length = neighbor + 8 // with our MAC as an option
	frame := slices.Concat(mac[:], h.MAC[:], []byte{0x86, 0xdd},
		[]byte{0x60, 0, 0, 0, 0, length, 58, 255}, asked[:], asker[:],
		[]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, asked[:], // solicited, to override what is known
		[]byte{2, 1}, h.MAC[:])
	// The pseudo header has both addresses, the length and the protocol.
	message := frame[ethernet+ipv6:]
	sum := ^sum16(slices.Concat(asked[:], asker[:], []byte{0, 0, 0, length, 0, 0, 0, 58}, message))
	binary.BigEndian.PutUint16(message[2:], sum)
	return frame
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// add adds to a checksum (RFC 1624, in ones' complement).
func add(checksum []byte, n uint16) {
	binary.BigEndian.PutUint16(checksum, sum16([]byte{checksum[0], checksum[1], byte(n >> 8), byte(n)}))
}

// sum16 is the ones' complement sum of 16-bit words (RFC 1071).
func sum16(words []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(words); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(words[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

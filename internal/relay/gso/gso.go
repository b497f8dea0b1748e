// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package gso translates between the frames of a tap device with a
// virtio_net_hdr, of up to 64 KiB with checksums left open, and the packets of
// someone who has no such header: it cuts the frames into packets (GSO) and
// joins packets to frames (GRO).
//
// It reads what a hostile peer wrote, from memory that nobody else writes to,
// and believes none of it: every offset is checked before it is used. What was
// joined is cut again, by this package or by a kernel, into the same packets.
package gso

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderLen is the length in bytes of struct virtio_net_hdr (linux/virtio_net.h),
// which every frame begins with. Its numbers are in the byte order of the
// machine, as a tap has them unless told otherwise.
const HeaderLen = 10

// Offsets in and values of struct virtio_net_hdr.
const (
	hdrFlags      = 0
	hdrType       = 1
	hdrHdrLen     = 2
	hdrSize       = 4
	hdrCsumStart  = 6
	hdrCsumOffset = 8

	needsCsum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

	typeNone  = 0    // VIRTIO_NET_HDR_GSO_NONE
	typeTCPv4 = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	typeTCPv6 = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	typeUDP   = 5    // VIRTIO_NET_HDR_GSO_UDP_L4
	typeECN   = 0x80 // VIRTIO_NET_HDR_GSO_ECN
)

// Offsets in and lengths of headers.
const (
	etherLen  = 14
	vlanLen   = 4
	maxVLANs  = 2
	ipv4Len   = 20 // without options
	ipv6Len   = 40
	tcpLen    = 20 // without options
	udpLen    = 8
	protoTCP  = 6
	protoUDP  = 17
	tcpCsumAt = 16
	udpCsumAt = 6
	maxHeader = etherLen + maxVLANs*vlanLen + 60 + 60 // with all options of IPv4 and TCP
)

// Flags of TCP, in its byte 13.
const (
	flagFIN = 0x01
	flagPSH = 0x08
	flagACK = 0x10
	flagECE = 0x40
	flagCWR = 0x80
)

// ErrMalformed means that a frame is not what its header says.
var ErrMalformed = errors.New("malformed frame")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// network finds the IP header of an Ethernet frame, behind VLAN tags if there
// are any. Its first byte is there; version is 0 where it is neither IPv4 nor
// IPv6.
func network(packet []byte) (at int, version byte) {
	at = etherLen
	for tags := 0; at < len(packet); tags++ {
		first := packet[at] >> 4
		switch ethertype := binary.BigEndian.Uint16(packet[at-2:]); {
		case ethertype == 0x0800 && first == 4:
			return at, 4
		case ethertype == 0x86dd && first == 6:
			return at, 6
		case (ethertype == 0x8100 || ethertype == 0x88a8) && tags < maxVLANs:
			at += vlanLen
		default:
			return at, 0
		}
	}
	return at, 0
}

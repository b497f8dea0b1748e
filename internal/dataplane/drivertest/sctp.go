// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"time"
)

// Many kernels have no SCTP. The two packets that begin an association are made by
// hand here (RFC 9260, 3.3.2 and 3.3.3), and go by raw sockets.
const (
	sctpInit    = 1
	sctpInitAck = 2
	sctpHeader  = 12
	sctpChunk   = 20     // of both kinds, without parameters
	sctpText    = 0x8008 // a parameter that others skip: its first bit is set
	sctpTag     = 0x706f6c79
)

func network(a netip.Addr) string {
	if a.Is4() {
		return "ip4:132"
	}
	return "ip6:132"
}

// sctpPacket makes a packet with one chunk, and text in it.
func sctpPacket(kind byte, from, to uint16, tag uint32, text string) []byte {
	for len(text)%4 != 0 {
		text += " "
	}
	p := make([]byte, sctpHeader+sctpChunk+4+len(text))
	binary.BigEndian.PutUint16(p[0:], from)
	binary.BigEndian.PutUint16(p[2:], to)
	binary.BigEndian.PutUint32(p[4:], tag)
	chunk := p[sctpHeader:]
	chunk[0] = kind
	binary.BigEndian.PutUint16(chunk[2:], uint16(len(chunk)))
	binary.BigEndian.PutUint32(chunk[4:], sctpTag)
	binary.BigEndian.PutUint32(chunk[8:], 1<<16)
	binary.BigEndian.PutUint16(chunk[12:], 1)
	binary.BigEndian.PutUint16(chunk[14:], 1)
	binary.BigEndian.PutUint32(chunk[16:], 1)
	binary.BigEndian.PutUint16(chunk[20:], sctpText)
	binary.BigEndian.PutUint16(chunk[22:], uint16(4+len(text)))
	copy(chunk[24:], text)
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}

// sctpRead checks a packet, its checksum too, and gives its kind, ports and text.
func sctpRead(p []byte) (kind byte, from, to uint16, text string, err error) {
	if len(p) < sctpHeader+sctpChunk+4 {
		return 0, 0, 0, "", fmt.Errorf("packet of %d bytes", len(p))
	}
	sum := binary.LittleEndian.Uint32(p[8:])
	whole := append([]byte(nil), p...)
	clear(whole[8:12])
	if sum != crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)) {
		return 0, 0, 0, "", errors.New("the checksum is wrong")
	}
	return p[sctpHeader], binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), string(p[sctpHeader+24:]), nil
}

func serveSCTP(ctx context.Context, at netip.AddrPort) (io.Closer, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, network(at.Addr()), at.Addr().String())
	if err != nil {
		return nil, err
	}
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			kind, port, to, _, err := sctpRead(buffer[:n])
			if err != nil || kind != sctpInit || to != at.Port() {
				continue
			}
			text := fmt.Sprintf("%s %s", at, net.JoinHostPort(from.String(), fmt.Sprint(port)))
			_, _ = conn.WriteTo(sctpPacket(sctpInitAck, to, port, sctpTag, text), from)
		}
	}()
	return conn, nil
}

// askSCTP begins an association; who answers must do so from the address and the
// port that were asked, or it is not heard.
func askSCTP(limit time.Duration, to netip.AddrPort) (string, error) {
	conn, err := net.DialIP(network(to.Addr()), nil, &net.IPAddr{IP: to.Addr().AsSlice()})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	port := uint16(40000 + nextNumber()%20000)
	if _, err := conn.Write(sctpPacket(sctpInit, port, to.Port(), 0, "")); err != nil {
		return "", err
	}
	buffer := make([]byte, 512)
	for {
		n, _, err := conn.ReadFrom(buffer) // without the IP header
		if err != nil {
			return "", err
		}
		kind, from, at, text, err := sctpRead(buffer[:n])
		if err == nil && kind == sctpInitAck && at == port && from == to.Port() {
			return text, nil
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package gso_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/relay/gso"
)

// plainSum is the internet checksum as RFC 1071 says it, word by word.
func plainSum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i, v := range b {
			s += uint32(v) << (8 * ((i + 1) % 2))
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// spec describes a packet of TCP or UDP.
type spec struct {
	vlans   int
	v6, udp bool
	options int // bytes of TCP options
	port    uint16
	id      uint16
	df      bool
	seq     uint32
	ack     uint32
	flags   byte
	payload []byte
}

// layout gives where the headers and the payload are.
func (s spec) layout() (l3, l4, payload int) {
	l3 = 14 + 4*s.vlans
	l4 = l3 + 20
	if s.v6 {
		l4 = l3 + 40
	}
	if s.udp {
		return l3, l4, l4 + 8
	}
	return l3, l4, l4 + 20 + s.options
}

// packet is the complete packet, with the right checksums.
func (s spec) packet() []byte {
	l3, l4, payload := s.layout()
	p := make([]byte, payload+len(s.payload))
	copy(p, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01")
	for i := range s.vlans {
		copy(p[12+4*i:], []byte{0x81, 0, 0, byte(i + 7)})
	}
	proto := byte(6)
	if s.udp {
		proto = 17
	}
	ip, length := p[l3:l4], len(p)-l4
	var addresses []byte
	if s.v6 {
		copy(p[l3-2:], []byte{0x86, 0xdd, 0x60, 0, 1, 2})
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
		ip[6], ip[7], ip[8], ip[24], ip[39] = proto, 64, 0xfd, 0xfd, 9
		addresses = ip[8:40]
	} else {
		copy(p[l3-2:], []byte{8, 0, 0x45, 0})
		binary.BigEndian.PutUint16(ip[2:], uint16(len(p)-l3))
		binary.BigEndian.PutUint16(ip[4:], s.id)
		if s.df {
			ip[6] = 0x40
		}
		ip[8], ip[9] = 64, proto
		copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
		binary.BigEndian.PutUint16(ip[10:], plainSum(ip))
		addresses = ip[12:20]
	}
	l4h := p[l4:]
	binary.BigEndian.PutUint16(l4h, s.port)
	binary.BigEndian.PutUint16(l4h[2:], 80)
	copy(p[payload:], s.payload)
	pseudo := append(append([]byte{}, addresses...), byte(length>>24), byte(length>>16), byte(length>>8), byte(length), 0, proto)
	if s.udp {
		binary.BigEndian.PutUint16(l4h[4:], uint16(length))
		if c := plainSum(pseudo, l4h); c == 0 {
			l4h[6], l4h[7] = 0xff, 0xff
		} else {
			binary.BigEndian.PutUint16(l4h[6:], c)
		}
		return p
	}
	binary.BigEndian.PutUint32(l4h[4:], s.seq)
	binary.BigEndian.PutUint32(l4h[8:], s.ack)
	l4h[12], l4h[13], l4h[15] = byte(20+s.options)/4<<4, s.flags, 200
	for i := range s.options {
		l4h[20+i] = 1
	}
	binary.BigEndian.PutUint16(l4h[16:], plainSum(pseudo, l4h))
	return p
}

// frame is what the kernel would hand over for a packet that is to be cut into
// payloads of the given size, or, with size 0, just lacks its checksum.
func (s spec) frame(size int) []byte {
	l3, l4, payload := s.layout()
	f := append(make([]byte, gso.HeaderLen), s.packet()...)
	offset := 16
	f[0], f[1] = 1, 1
	if s.v6 {
		f[1] = 4
	}
	if s.udp {
		offset, f[1] = 6, 5
	}
	if size == 0 {
		f[1] = 0
	}
	binary.NativeEndian.PutUint16(f[2:], uint16(payload))
	binary.NativeEndian.PutUint16(f[4:], uint16(size))
	binary.NativeEndian.PutUint16(f[6:], uint16(l4))
	binary.NativeEndian.PutUint16(f[8:], uint16(offset))
	p := f[gso.HeaderLen:]
	addresses, proto := p[l3+12:l4], byte(6)
	if s.v6 {
		addresses = p[l3+8 : l4]
	}
	if s.udp {
		proto = 17
	}
	length := len(p) - l4
	binary.BigEndian.PutUint16(p[l4+offset:], ^plainSum(addresses, []byte{byte(length >> 8), byte(length), 0, proto}))
	return f
}

// drawSpec draws a packet with a payload of at least one byte.
func drawSpec(t *rapid.T) spec {
	s := spec{
		vlans:   rapid.IntRange(0, 2).Draw(t, "vlans"),
		v6:      rapid.Bool().Draw(t, "v6"),
		udp:     rapid.Bool().Draw(t, "udp"),
		options: 4 * rapid.IntRange(0, 10).Draw(t, "options"),
		port:    rapid.Uint16().Draw(t, "port"),
		id:      rapid.Uint16().Draw(t, "id"),
		df:      rapid.Bool().Draw(t, "df"),
		seq:     rapid.Uint32().Draw(t, "seq"),
		flags:   rapid.Byte().Draw(t, "flags"),
	}
	s.payload = make([]byte, rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(1, 5000)).Draw(t, "length"))
	fill := rapid.Uint64().Draw(t, "fill")
	for i := range s.payload {
		s.payload[i] = byte(fill >> (i % 57))
	}
	return s
}

// want are the packets that a large frame stands for, by the rules of RFC 9293
// and of the kernel's tcp_gso_segment and __udp_gso_segment.
func (s spec) want(size int) (packets [][]byte) {
	for at := 0; at < len(s.payload); at += size {
		one := s
		one.payload = s.payload[at:min(at+size, len(s.payload))]
		one.seq += uint32(at)
		one.id += uint16(len(packets))
		if at > 0 {
			one.flags &^= 0x80 // CWR
		}
		if at+size < len(s.payload) {
			one.flags &^= 0x01 | 0x08 // FIN, PSH
		}
		packets = append(packets, one.packet())
	}
	return packets
}

// cut cuts a large frame.
func cut(t interface{ Fatal(...any) }, frame []byte) (packets [][]byte) {
	s, err := gso.Cut(frame)
	if err != nil {
		t.Fatal(err)
	}
	left := s.Left()
	for s.NextLen() > 0 {
		p := make([]byte, s.NextLen())
		s.Next(p)
		packets = append(packets, p)
	}
	if len(packets) != left || s.Left() != 0 {
		t.Fatal("said to be left: ", left, ", then ", s.Left(), "; there were ", len(packets))
	}
	return packets
}

func TestLargeFramesAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		size := max(rapid.IntRange(1, 9000).Draw(t, "size"), len(s.payload)/100+1)
		f := s.frame(size)
		if !gso.Large(f) {
			t.Fatal("a frame with a size is not large")
		}
		if want, got := s.want(size), cut(t, f); !same(want, got) {
			t.Errorf("%+v cut by %d (-want +got):\n%s", s, size, cmp.Diff(want, got))
		}
	})
}

func TestChecksumsAreCompleted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		got, err := gso.Complete(s.frame(0))
		if err != nil {
			t.Fatal(err)
		}
		want := s.packet()
		if !bytes.Equal(want, got) {
			t.Errorf("%+v (-want +got):\n%s", s, cmp.Diff(want, got))
		}
		// One that is complete already is left alone.
		if again, err := gso.Complete(append(make([]byte, gso.HeaderLen), want...)); err != nil || !bytes.Equal(want, again) {
			t.Errorf("%v, %x", err, again)
		}
	})
}

// Frames that are not what they say are refused, not cut wrong.
func TestMalformedFramesAreRefused(t *testing.T) {
	tcp := spec{port: 1, flags: 0x10, payload: make([]byte, 100)}
	for name, change := range map[string]func(f []byte) []byte{
		"no size":           func(f []byte) []byte { f[4], f[5] = 0, 0; return f },
		"checksum done":     func(f []byte) []byte { f[0] = 0; return f },
		"unknown type":      func(f []byte) []byte { f[1] = 3; return f },
		"other version":     func(f []byte) []byte { f[1] = 4; return f },
		"other protocol":    func(f []byte) []byte { f[1] = 5; return f },
		"not IP":            func(f []byte) []byte { f[10+12] = 9; return f },
		"header elsewhere":  func(f []byte) []byte { f[6]++; return f },
		"header far away":   func(f []byte) []byte { f[7] = 0xff; return f },
		"short TCP header":  func(f []byte) []byte { f[10+14+20+12] = 0x40; return f },
		"long TCP header":   func(f []byte) []byte { return f[:10+14+20+19] },
		"no payload":        func(f []byte) []byte { return f[:10+14+20+20] },
		"no IP header":      func(f []byte) []byte { return f[:10+14+1] },
		"Ethernet only":     func(f []byte) []byte { return f[:10+14] },
		"nothing":           func(f []byte) []byte { return f[:10] },
		"three VLAN tags":   func([]byte) []byte { s := tcp; s.vlans = 3; return s.frame(10) },
		"short IPv4 header": func(f []byte) []byte { f[10+14] = 0x44; f[6] -= 4; return f },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := gso.Cut(change(tcp.frame(10)))
			if !errors.Is(err, gso.ErrMalformed) || s.NextLen() > 0 {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	for _, start := range []uint16{140, 0x7fff, 0xffff} {
		f := tcp.frame(0)
		binary.NativeEndian.PutUint16(f[6:], start)
		if p, err := gso.Complete(f); !errors.Is(err, gso.ErrMalformed) {
			t.Errorf("checksum of bytes from %d: %x, %v", start, p, err)
		}
	}
}

// FuzzCut: whatever a frame says, nothing is read or written outside of it, and
// all payload comes out once.
func FuzzCut(f *testing.F) {
	for _, s := range []spec{
		{payload: make([]byte, 3000)}, {v6: true, options: 12, payload: make([]byte, 300)}, {udp: true, vlans: 1, payload: make([]byte, 50)},
	} {
		f.Add(s.frame(100))
		f.Add(s.frame(0))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < gso.HeaderLen {
			return
		}
		if !gso.Large(data) {
			_, _ = gso.Complete(data[:len(data):len(data)])
			return
		}
		s, err := gso.Cut(data[:len(data):len(data)])
		if err != nil {
			return
		}
		total, headers := gso.HeaderLen, 0
		for first := true; s.NextLen() > 0; first = false {
			n := s.NextLen()
			p := make([]byte, n)
			s.Next(p)
			if first {
				headers = len(p) - min(int(binary.NativeEndian.Uint16(data[4:])), len(p)-1)
			}
			if len(p) != n || len(p) <= 34 {
				t.Fatalf("a packet of %d bytes, said to have %d", len(p), n)
			}
			total += len(p)
		}
		if total < len(data) || headers < 0 {
			t.Errorf("%d bytes of %d came out", total, len(data))
		}
	})
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package gso_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/relay/gso"
)

// merge joins packets, of which it makes copies, to contiguous frames.
func merge(m *gso.Merger, packets [][]byte) (frames [][]byte) {
	mine := make([][]byte, len(packets))
	for i, p := range packets {
		mine[i] = bytes.Clone(p)
	}
	var header [gso.HeaderLen]byte
	for i := range m.Merge(mine) {
		pieces := m.Frame(i, &header, nil)
		frames = append(frames, append(header[:len(header):len(header)], bytes.Join(pieces, nil)...))
	}
	return frames
}

// again cuts frames to packets.
func again(t interface{ Fatal(...any) }, frames [][]byte) (packets [][]byte) {
	for _, f := range frames {
		if gso.Large(f) {
			packets = append(packets, cut(t, f)...)
		} else {
			packets = append(packets, f[gso.HeaderLen:])
		}
	}
	return packets
}

// anonymous makes equal what may differ: the identification of IPv4 packets that
// must not be fragmented, where it means nothing.
func anonymous(packets [][]byte) [][]byte {
	all := make([][]byte, len(packets))
	for i, p := range packets {
		p = bytes.Clone(p)
		for l3 := 14; l3 <= 22 && len(p) >= l3+20; l3 += 4 {
			if p[l3-2] == 8 && p[l3-1] == 0 && p[l3] == 0x45 && p[l3+6]&0x40 != 0 {
				copy(p[l3+4:], []byte{0, 0})
				copy(p[l3+10:], []byte{0, 0})
			}
		}
		all[i] = p
	}
	return all
}

// flowOf tells the packets apart that may overtake each other: of two protocols,
// IPv4 packets with options and without, and what is behind no tags of VLANs.
func flowOf(p []byte) string {
	for l3 := 14; l3 <= 22 && len(p) >= l3+20; l3 += 4 {
		tag := string(p[l3-6 : l3-4])
		switch {
		case l3 > 14 && tag != "\x81\x00" && tag != "\x88\xa8":
			return ""
		case p[l3-2] == 8 && p[l3-1] == 0 && len(p) >= l3+24:
			return string([]byte{p[l3], p[l3+9]}) + string(p[l3+12:l3+24])
		case p[l3-2] == 0x86 && p[l3-1] == 0xdd && len(p) >= l3+44:
			return string(p[l3+6]) + string(p[l3+8:l3+44])
		}
	}
	return ""
}

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// sameFlows compares the packets of each flow, in their order.
func sameFlows(t interface{ Errorf(string, ...any) }, want, got [][]byte) {
	byFlow := func(packets [][]byte) map[string][][]byte {
		flows := map[string][][]byte{}
		for _, p := range anonymous(packets) {
			flows[flowOf(p)] = append(flows[flowOf(p)], p)
		}
		return flows
	}
	if w, g := byFlow(want), byFlow(got); !maps.EqualFunc(w, g, same) {
		t.Errorf("packets of flows (-sent +cut again):\n%s", cmp.Diff(w, g))
	}
}

// train is a number of segments that follow each other.
func train(s spec, n, size int) (packets [][]byte) {
	whole := s
	whole.payload = bytes.Repeat([]byte("polynic"), n*size/7+1)[:n*size]
	for _, p := range whole.want(size) {
		packets = append(packets, slices.Clip(p))
	}
	return packets
}

// What can be joined is, into as few frames as there can be.
func TestTrainsAreJoined(t *testing.T) {
	const ack, psh = 0x10, 0x08
	for name, c := range map[string]struct {
		spec
		n, size int
		want    []int // packets per frame
	}{
		"IPv4":               {spec{flags: ack}, 30, 1460, []int{30}},
		"IPv4, DF":           {spec{flags: ack, df: true}, 30, 1460, []int{30}},
		"IPv6 with options":  {spec{flags: ack, v6: true, options: 12}, 30, 1440, []int{30}},
		"VLAN":               {spec{flags: ack, vlans: 1}, 10, 1460, []int{10}},
		"two VLANs, PSH":     {spec{flags: ack | psh, vlans: 2, v6: true}, 10, 1460, []int{10}},
		"ids and seqs wrap":  {spec{flags: ack, id: 65530, seq: 1<<32 - 3000}, 10, 1460, []int{10}},
		"at most 65535":      {spec{flags: ack}, 50, 1460, []int{44, 6}},
		"at most 65535 once": {spec{flags: ack, v6: true}, 8, 8960, []int{7, 1}},
		"at most 64":         {spec{flags: ack}, 130, 100, []int{64, 64, 2}},
		"echo of congestion": {spec{flags: ack | 0x40}, 4, 100, []int{4}},
		"SYN":                {spec{flags: ack | 2}, 3, 100, []int{1, 1, 1}},
		"FIN goes alone":     {spec{flags: ack | 1}, 3, 100, []int{2, 1}},
		"CWR goes alone":     {spec{flags: ack | 0x80}, 3, 100, []int{1, 2}},
		"UDP":                {spec{udp: true}, 3, 100, []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			sent := train(c.spec, c.n, c.size)
			frames := merge(&gso.Merger{}, sent)
			var got []int
			for _, f := range frames {
				got = append(got, len(again(t, [][]byte{f})))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("packets per frame (-want +got):\n%s", diff)
			}
			sameFlows(t, sent, again(t, frames))
		})
	}
}

// One thing that differs keeps two segments apart.
func TestUnlikeSegmentsStayApart(t *testing.T) {
	for name, change := range map[string]func(second *spec, packet []byte){
		"nothing":           func(*spec, []byte) {},
		"gap":               func(s *spec, _ []byte) { s.seq++ },
		"again":             func(s *spec, _ []byte) { s.seq -= 100 },
		"other port":        func(s *spec, _ []byte) { s.port++ },
		"acknowledgement":   func(s *spec, _ []byte) { s.ack++ },
		"identification":    func(s *spec, _ []byte) { s.id++ },
		"longer":            func(s *spec, _ []byte) { s.payload = make([]byte, 101) },
		"empty":             func(s *spec, _ []byte) { s.payload = nil },
		"DF":                func(s *spec, _ []byte) { s.df = true },
		"options":           func(s *spec, _ []byte) { s.options = 4 },
		"VLAN":              func(s *spec, _ []byte) { s.vlans = 1 },
		"RST":               func(s *spec, _ []byte) { s.flags |= 4 },
		"URG":               func(s *spec, _ []byte) { s.flags |= 0x20 },
		"no ACK":            func(s *spec, _ []byte) { s.flags = 0 },
		"MAC":               func(_ *spec, p []byte) { p[0] ^= 4 },
		"class":             func(_ *spec, p []byte) { p[15] = 3; resum(p) },
		"TTL":               func(_ *spec, p []byte) { p[22]--; resum(p) },
		"fragment":          func(_ *spec, p []byte) { p[20] = 0x20; resum(p) },
		"header checksum":   func(_ *spec, p []byte) { p[24] ^= 1 },
		"wrong payload":     func(_ *spec, p []byte) { p[60] ^= 1 },
		"window":            func(_ *spec, p []byte) { p[48]++; p[50]-- },
		"padded at the end": func(_ *spec, p []byte) { p[17]--; resum(p) },
	} {
		t.Run(name, func(t *testing.T) {
			first := spec{port: 7, flags: 0x10, payload: make([]byte, 100)}
			second := first
			second.seq, second.id = 100, 1
			change(&second, make([]byte, 200))
			sent := [][]byte{first.packet(), second.packet()}
			change(&spec{}, sent[1])
			want := 2
			if name == "nothing" {
				want = 1
			}
			frames := merge(&gso.Merger{}, sent)
			if len(frames) != want {
				t.Errorf("%d frames, want %d", len(frames), want)
			}
			sameFlows(t, sent, again(t, frames))
		})
	}
}

// resum makes the checksum of the IPv4 header right again.
func resum(p []byte) {
	p[24], p[25] = 0, 0
	binary.BigEndian.PutUint16(p[24:], plainSum(p[14:34]))
}

// TestJoinedIsCutAgainToTheSame is the property that all of this is about: for
// flows that are mixed, with gaps, losses and mistakes.
func TestJoinedIsCutAgainToTheSame(t *testing.T) {
	var m gso.Merger
	rapid.Check(t, func(t *rapid.T) {
		var flows []spec
		for i := range rapid.IntRange(1, 12).Draw(t, "flows") {
			s := drawSpec(t)
			s.port, s.payload, s.flags = uint16(i), nil, 0x10
			s.options = 4 * rapid.IntRange(0, 3).Draw(t, "options")
			flows = append(flows, s)
		}
		var sent [][]byte
		for range rapid.IntRange(1, 80).Draw(t, "packets") {
			s := &flows[rapid.IntRange(0, len(flows)-1).Draw(t, "flow")]
			one := *s
			one.flags = rapid.SampledFrom([]byte{0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x50, 0x90, 0x02, 0x14}).Draw(t, "flags")
			size := rapid.SampledFrom([]int{100, 100, 100, 50, 0, 700}).Draw(t, "size")
			one.payload = bytes.Repeat([]byte{byte(len(sent))}, size)
			s.seq += uint32(size)
			s.id += uint16(rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "id step"))
			p := one.packet()
			if rapid.IntRange(0, 20).Draw(t, "mistake") == 0 {
				p[rapid.IntRange(14, len(p)-1).Draw(t, "at")] ^= 1
			}
			sent = append(sent, p)
		}
		sameFlows(t, sent, again(t, merge(&m, sent)))
	})
}

// FuzzMerge: the packets are pieces of the input, so that mutations of good ones
// come before all else.
func FuzzMerge(f *testing.F) {
	for _, s := range []spec{{flags: 0x10}, {flags: 0x18, v6: true, options: 12}, {flags: 0x10, vlans: 1, df: true}, {udp: true}} {
		p := train(s, 3, 40)
		f.Add(uint8(len(p[0])), slices.Concat(p...))
	}
	f.Fuzz(func(t *testing.T, length uint8, data []byte) {
		var sent [][]byte
		for p := range slices.Chunk(data, max(int(length), 1)) {
			sent = append(sent, p)
		}
		if len(sent) > 200 {
			return
		}
		got := again(t, merge(&gso.Merger{}, sent))
		order := func(a, b []byte) int { return bytes.Compare(a, b) }
		want, all := slices.SortedFunc(slices.Values(anonymous(sent)), order), slices.SortedFunc(slices.Values(anonymous(got)), order)
		if !same(want, all) {
			t.Errorf("packets (-sent +cut again):\n%s", cmp.Diff(want, all))
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	large := spec{flags: 0x10, payload: make([]byte, 60000)}.frame(1460)
	buffer := make([]byte, 2000)
	if n := testing.AllocsPerRun(100, func() {
		s, err := gso.Cut(large)
		if err != nil {
			t.Fatal(err)
		}
		for s.NextLen() > 0 {
			s.Next(buffer[:s.NextLen()])
		}
	}); n > 0 {
		t.Errorf("%v allocations to cut a frame", n)
	}
	var m gso.Merger
	var header [gso.HeaderLen]byte
	pieces := make([][]byte, 0, 64)
	packets, sent := train(spec{flags: 0x10}, 40, 1460), train(spec{flags: 0x10}, 40, 1460)
	if n := testing.AllocsPerRun(100, func() {
		copy(packets[0], sent[0])
		for i := range m.Merge(packets) {
			m.Frame(i, &header, pieces[:0])
		}
	}); n > 0 {
		t.Errorf("%v allocations to join a burst", n)
	}
}

func BenchmarkCut(b *testing.B) {
	large := spec{flags: 0x10, payload: make([]byte, 60000)}.frame(1460)
	buffer := make([]byte, 2000)
	b.SetBytes(int64(len(large)))
	for b.Loop() {
		s, err := gso.Cut(large)
		if err != nil {
			b.Fatal(err)
		}
		for s.NextLen() > 0 {
			s.Next(buffer[:s.NextLen()])
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{1, 40} {
		b.Run(fmt.Sprint(n, " packets"), func(b *testing.B) {
			var m gso.Merger
			var header [gso.HeaderLen]byte
			pieces := make([][]byte, 0, 64)
			packets, sent := train(spec{flags: 0x10}, n, 1460), train(spec{flags: 0x10}, n, 1460)
			b.SetBytes(int64(n * len(sent[0])))
			for b.Loop() {
				copy(packets[0], sent[0])
				for i := range m.Merge(packets) {
					m.Frame(i, &header, pieces[:0])
				}
			}
		})
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package shm

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// aligned is memory that starts where a page could.
func aligned(n int) []byte {
	words := make([]uint64, n/8+2)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & 15
	return b[skip:][:n]
}

// The words are where C programs have them, in the machine's byte order.
func TestRingLayout(t *testing.T) {
	memory := aligned(64 + Bytes(2))
	r, err := Format(memory, 64, 2)
	if err != nil {
		t.Fatal(err)
	}
	u16 := func(at int) uint16 { return binary.NativeEndian.Uint16(memory[64+at:]) }
	if got := binary.NativeEndian.Uint32(memory[64:]); got != Cookie || u16(4) != 0 || u16(6) != 0 || u16(64) != 0 {
		t.Errorf("cookie 0x%x, flags %d, head %d, tail %d", got, u16(4), u16(6), u16(64))
	}
	r.MaskInterrupts()
	r.SetHead(0x1234)
	r.SetTail(0x5678)
	if r.Head() != 0x1234 || u16(6) != 0x1234 || r.Tail() != 0x5678 || u16(64) != 0x5678 || u16(4) != 1 {
		t.Errorf("head %x %x, tail %x %x, flags %d", r.Head(), u16(6), r.Tail(), u16(64), u16(4))
	}
	r.UnmaskInterrupts()
	if r.Masked() || u16(4) != 0 || u16(6) != 0x1234 {
		t.Errorf("unmasked: %v, flags %d, head %x", r.Masked(), u16(4), u16(6))
	}
	binary.NativeEndian.PutUint16(memory[64+4:], 0xfffe)
	r.SetHead(0x1233) // 65535 further: the sum does not reach the flags
	r.MaskInterrupts()
	if !r.Masked() || u16(4) != 0xffff || u16(6) != 0x1233 {
		t.Errorf("masked: %v, flags %x, head %x", r.Masked(), u16(4), u16(6))
	}
	d := Descriptor{Flags: 0x0102, Region: 0x0304, Length: 0x05060708, Offset: 0x090a0b0c, Metadata: 0x0d0e0f10}
	r.Store(7, d) // in slot 3
	at := 128 + 3*16
	if u16(at) != d.Flags || u16(at+2) != d.Region || binary.NativeEndian.Uint32(memory[64+at+4:]) != d.Length ||
		binary.NativeEndian.Uint32(memory[64+at+8:]) != d.Offset || binary.NativeEndian.Uint32(memory[64+at+12:]) != d.Metadata {
		t.Errorf("descriptor in memory: %x", memory[64+at:])
	}
	d.Metadata = 0
	if diff := cmp.Diff(d, r.Load(3)); diff != "" {
		t.Errorf("descriptor loaded (-want +got):\n%s", diff)
	}
}

func TestAttach(t *testing.T) {
	memory := aligned(1024)
	if _, err := Format(memory, 32, 1); err != nil {
		t.Fatal(err)
	}
	if r, err := Attach(memory, 32, 1); err != nil || r.Slots() != 2 || r.Mask(5) != 1 {
		t.Errorf("%v, %d slots", err, r.Slots())
	}
	for _, c := range []struct {
		offset uint32
		log2   uint8
		want   error
	}{
		{32, 0, ErrRing},
		{32, 15, ErrRing},
		{32, 255, ErrRing},
		{32, 6, ErrRing}, // too long
		{40, 1, ErrRing},
		{1024 - 144, 1, ErrRing},
		{1024, 1, ErrRing},
		{math.MaxUint32, 1, ErrRing},
		{math.MaxUint32 - 15, 14, ErrRing},
		{48, 1, ErrCookie},
	} {
		if _, err := Attach(memory, c.offset, c.log2); !errors.Is(err, c.want) {
			t.Errorf("a ring of 2^%d at %d: %v, want %v", c.log2, c.offset, err, c.want)
		}
	}
}

// Two sides write to halves of one word, one of them by plain 16-bit stores as
// a C program does, and no store of either is lost.
func TestHeadBesideFlags(t *testing.T) {
	memory := aligned(Bytes(1))
	r, err := Format(memory, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 100_000
	race := func(name string, ours, theirs func(i int), lost func(i int) bool) {
		var running sync.WaitGroup
		running.Go(func() {
			for i := range rounds {
				ours(i)
			}
		})
		for i := range rounds {
			theirs(i)
			if lost(i) {
				t.Errorf("%s: store %d of the peer was lost", name, i)
				break
			}
		}
		running.Wait()
	}
	half := func(at int) *uint16 { return (*uint16)(unsafe.Pointer(&memory[at])) }
	flags, head := half(4), half(6)

	// Here the slave: the peer writes flags.
	race("flags", func(i int) { r.SetHead(uint16(i * 3)) },
		func(i int) { storePlain(flags, uint16(i)) }, func(i int) bool { return loadPlain(flags) != uint16(i) })
	if last := (rounds - 1) * 3; r.Head() != uint16(last) {
		t.Errorf("head is %d, not %d", r.Head(), uint16(last))
	}
	// Here the master: the peer writes head.
	race("head", func(i int) {
		if i%2 == 0 {
			r.MaskInterrupts()
		} else {
			r.UnmaskInterrupts()
		}
	}, func(i int) { storePlain(head, uint16(i)) }, func(i int) bool { return loadPlain(head) != uint16(i) })
	if r.Masked() {
		t.Error("the last word of the master is lost")
	}
}

// The race detector must not see the peer.
//
//go:norace
//go:noinline
func storePlain(p *uint16, v uint16) { *p = v }

//go:norace
//go:noinline
func loadPlain(p *uint16) uint16 { return *p }

// One passes numbers to the other through descriptors: what is published is
// complete.
func TestPublication(t *testing.T) {
	memory := aligned(Bytes(4))
	r, err := Format(memory, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 100_000
	var running sync.WaitGroup
	running.Go(func() {
		for i := uint32(0); i < rounds; {
			if uint16(i)-r.Tail() == r.Slots() {
				continue
			}
			r.Store(uint16(i), Descriptor{Flags: uint16(i), Region: uint16(i), Length: i, Offset: ^i})
			i++
			r.SetHead(uint16(i))
		}
	})
	for i := uint32(0); i < rounds; {
		if r.Head() == uint16(i) {
			continue
		}
		want := Descriptor{Flags: uint16(i), Region: uint16(i), Length: i, Offset: ^i}
		if got := r.Load(uint16(i)); got != want {
			t.Errorf("descriptor %d is %+v", i, got)
		}
		i++
		r.SetTail(uint16(i))
	}
	running.Wait()
}

// Slice gives a part of the region that is named, or nothing.
func TestSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.OneOf(rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1, 99, 100, 101, 1 << 31, math.MaxUint32 - 99, math.MaxUint32}))
		d := Descriptor{
			Region: rapid.Uint16Range(0, 3).Draw(t, "region"),
			Offset: edge.Draw(t, "offset"), Length: edge.Draw(t, "length"),
		}
		regions := [][]byte{make([]byte, 100), make([]byte, 1000), {}}
		got, ok := Slice(regions, d)
		fits := int(d.Region) < len(regions) && uint64(d.Offset)+uint64(d.Length) <= uint64(len(regions[d.Region]))
		if ok != fits {
			t.Fatalf("%+v: %v", d, ok)
		}
		if ok && (len(got) != int(d.Length) || cap(got) != len(got)) {
			t.Fatalf("%+v: %d bytes of %d", d, len(got), cap(got))
		}
		if ok && d.Length > 0 && &got[0] != &regions[d.Region][d.Offset] {
			t.Fatalf("%+v: other bytes", d)
		}
	})
}

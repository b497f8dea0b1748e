// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/ipam"
)

// naive is the rule of the package comment, written down as slowly and plainly as
// can be: a list of a range's addresses in order and which of them are taken.
type naive struct {
	addrs []netip.Addr
	taken map[netip.Addr]bool
	last  int // index into addrs of the address given last
}

func newNaive(r netip.Prefix) *naive {
	size := 1 << (r.Addr().BitLen() - r.Bits())
	n := &naive{taken: map[netip.Addr]bool{}, last: -1}
	a := r.Addr()
	for number := range size {
		if number >= 2 && number <= size-3 {
			n.addrs = append(n.addrs, a)
		}
		a = a.Next()
	}
	return n
}

func (n *naive) next() (int, bool) {
	for step := 1; step <= len(n.addrs); step++ {
		i := (n.last + step) % len(n.addrs)
		if !n.taken[n.addrs[i]] {
			return i, true
		}
	}
	return 0, false
}

func (n *naive) take(i int) netip.Addr {
	n.taken[n.addrs[i]], n.last = true, i
	return n.addrs[i]
}

func (n *naive) release(a netip.Addr) { delete(n.taken, a) }

// Whatever is allocated, taken and released, the allocator gives exactly what
// the rule says; in particular never an address that somebody has.
func TestAllocatorFollowsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v4 := netip.PrefixFrom(netip.MustParseAddr("10.1.8.0"), rapid.IntRange(24, 29).Draw(t, "IPv4 length"))
		v6 := netip.PrefixFrom(netip.MustParseAddr("fd00::a:7f00"), rapid.IntRange(120, 125).Draw(t, "IPv6 length"))
		a, err := ipam.New(v6, v4)
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{a: a, models: []*naive{newNaive(v4), newNaive(v6)}}
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"allocate": m.allocate,
			"release":  m.release,
			"take":     m.take,
			"fill":     m.fill,
			"drain":    m.drain,
		})
	})
}

type machine struct {
	a      *ipam.Allocator
	models []*naive // IPv4, IPv6
}

func (m *machine) allocate(t *rapid.T) {
	if err := m.allocateOne(); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) allocateOne() error {
	i, ok4 := m.models[0].next()
	j, ok6 := m.models[1].next()
	got, err := m.a.Allocate()
	if !ok4 || !ok6 {
		if !errors.Is(err, ipam.ErrFull) {
			return fmt.Errorf("full: got %v, %w, want ErrFull", got, err)
		}
		return nil
	}
	want := []netip.Addr{m.models[0].take(i), m.models[1].take(j)}
	if err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("allocated %v, %w, want %v", got, err, want)
	}
	return nil
}

func (m *machine) release(t *rapid.T) {
	n := rapid.SampledFrom(m.models).Draw(t, "family")
	addr := rapid.SampledFrom(n.addrs).Draw(t, "address")
	m.a.Release(addr)
	n.release(addr)
}

func (m *machine) take(t *rapid.T) {
	n := rapid.SampledFrom(m.models).Draw(t, "family")
	i := rapid.IntRange(0, len(n.addrs)-1).Draw(t, "index")
	err := m.a.Take(n.addrs[i])
	if n.taken[n.addrs[i]] {
		if !errors.Is(err, ipam.ErrTaken) {
			t.Fatalf("take of %s, which is taken: %v", n.addrs[i], err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	n.take(i)
}

func (m *machine) fill(t *rapid.T) {
	for range len(m.models[0].addrs) + len(m.models[1].addrs) {
		m.allocate(t)
	}
}

func (m *machine) drain(*rapid.T) {
	for _, n := range m.models {
		m.a.Release(n.addrs...)
		clear(n.taken)
	}
}

func (m *machine) check(t *rapid.T) {
	if got, want := m.a.Used(), len(m.models[0].taken)+len(m.models[1].taken); got != want {
		t.Fatalf("%d in use, want %d", got, want)
	}
}

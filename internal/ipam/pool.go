// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

const (
	// gateway is the number, within its range, of the gateway's address.
	gateway = 1
	// maxHostBits bounds the part of a range that is used.
	maxHostBits = 16
)

// pool is one range: a bit per address, set while the address is taken or not
// for pods.
type pool struct {
	prefix netip.Prefix // as the caller gave it
	served netip.Prefix // its first 2^maxHostBits addresses
	words  []uint64
	last   int // number of the address given last
	used   int // addresses taken by pods
}

func newPool(prefix netip.Prefix) (*pool, error) {
	if !prefix.IsValid() || prefix != prefix.Masked() || prefix.Addr().Is4In6() {
		return nil, fmt.Errorf("pod range %s: not a network (want the first address, a slash and the length)", prefix)
	}
	hostBits := prefix.Addr().BitLen() - prefix.Bits()
	if hostBits < minHostBits {
		return nil, fmt.Errorf("pod range %s: no room for pods (want a length of at most %d)",
			prefix, prefix.Addr().BitLen()-minHostBits)
	}
	hostBits = min(hostBits, maxHostBits)
	p := &pool{
		prefix: prefix,
		served: netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()-hostBits),
		words:  make([]uint64, (1<<hostBits+63)/64),
		last:   gateway,
	}
	for number := range gateway + 1 {
		p.set(number)
	}
	for number := p.size() - 2; number < len(p.words)*64; number++ {
		p.set(number)
	}
	return p, nil
}

func (p *pool) is4() bool { return p.prefix.Addr().Is4() }

// size is the number of addresses of which the pool keeps a record.
func (p *pool) size() int { return 1 << (p.served.Addr().BitLen() - p.served.Bits()) }

// capacity is the number of addresses for pods.
func (p *pool) capacity() int { return p.size() - 4 }

// serves reports whether the address is one of those for pods.
func (p *pool) serves(addr netip.Addr) bool {
	if !p.served.Contains(addr) {
		return false
	}
	number := p.number(addr)
	return number > gateway && number < p.size()-2
}

// number and addr convert between an address and its place in the range. The
// host part never exceeds the last two bytes.
func (p *pool) number(addr netip.Addr) int {
	raw := addr.As16()
	return int(binary.BigEndian.Uint16(raw[14:])) & (p.size() - 1)
}

func (p *pool) addr(number int) netip.Addr {
	raw := p.served.Addr().As16()
	low := binary.BigEndian.Uint16(raw[14:]) | uint16(number)
	binary.BigEndian.PutUint16(raw[14:], low)
	addr := netip.AddrFrom16(raw)
	if p.is4() {
		return addr.Unmap()
	}
	return addr
}

// next finds the first free number after the last one given, wrapping around.
// It looks at 64 addresses a step, so a full range of the largest size takes
// about a thousand.
func (p *pool) next() (int, bool) {
	start := p.last + 1
	for step := range len(p.words) + 1 {
		word := (start/64 + step) % len(p.words)
		free := ^p.words[word]
		if step == 0 {
			free &= ^uint64(0) << (start % 64)
		}
		if free != 0 {
			return word*64 + bits.TrailingZeros64(free), true
		}
	}
	return 0, false
}

func (p *pool) taken(number int) bool { return p.words[number/64]&(1<<(number%64)) != 0 }

func (p *pool) set(number int) { p.words[number/64] |= 1 << (number % 64) }

func (p *pool) take(number int) {
	p.set(number)
	p.last = number
	p.used++
}

func (p *pool) release(number int) {
	if p.taken(number) {
		p.words[number/64] &^= 1 << (number % 64)
		p.used--
	}
}

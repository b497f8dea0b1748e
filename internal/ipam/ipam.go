// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package ipam gives addresses to pod interfaces. It is pure: it does no I/O,
// remembers nothing over a restart (the journal does) and takes no lock; the
// caller serialises all calls on one Allocator.
//
// Addresses are given in sequence, from the one after the last given, so that
// a released address rests for as long as the range allows. The first address
// of a range is the gateway's; of the 2^n addresses the pods have those from
// number 2 to number 2^n-3 (in a /24: .2 to .253). A range with more than 16
// host bits, as is usual with IPv6, is used up to that size only: 65,532
// addresses are more than a node has interfaces, and a bit for each is 8 KiB.
package ipam

import (
	"fmt"
	"net/netip"
	"slices"
)

// Allocator gives the addresses of at most one range per family. Not safe for
// concurrent use.
type Allocator struct {
	pools []*pool // IPv4 first
}

// New makes an allocator of the ranges, of which nothing is taken yet. An error
// names a range that is not valid, has no room for pods, or is the second one
// of its family.
func New(ranges ...netip.Prefix) (*Allocator, error) {
	a := &Allocator{}
	for _, r := range ranges {
		p, err := newPool(r)
		if err != nil {
			return nil, err
		}
		for _, q := range a.pools {
			if q.is4() == p.is4() {
				return nil, fmt.Errorf("pod range %s: %s is of the same family (want one range per family)", r, q.prefix)
			}
		}
		a.pools = append(a.pools, p)
	}
	if len(a.pools) == 0 {
		return nil, fmt.Errorf("no pod range is given")
	}
	slices.SortFunc(a.pools, func(p, q *pool) int { return p.prefix.Addr().Compare(q.prefix.Addr()) })
	return a, nil
}

// Gateways lists the gateway of each range, IPv4 first.
func (a *Allocator) Gateways() []netip.Addr {
	var all []netip.Addr
	for _, p := range a.pools {
		all = append(all, p.addr(gateway))
	}
	return all
}

// Ranges lists the ranges, IPv4 first.
func (a *Allocator) Ranges() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range a.pools {
		all = append(all, p.prefix)
	}
	return all
}

// Allocate takes the next free address of every range, IPv4 first. Where one
// range is full nothing is taken, and the error wraps ErrFull.
func (a *Allocator) Allocate() ([]netip.Addr, error) {
	numbers := make([]int, len(a.pools))
	for i, p := range a.pools {
		number, ok := p.next()
		if !ok {
			return nil, fmt.Errorf("pod range %s: %w (all %d are taken)", p.prefix, ErrFull, p.capacity())
		}
		numbers[i] = number
	}
	given := make([]netip.Addr, len(a.pools))
	for i, p := range a.pools {
		p.take(numbers[i])
		given[i] = p.addr(numbers[i])
	}
	return given, nil
}

// Take marks addresses as given: those that the journal knows from before a
// restart, in the order in which they were given, because the sequence goes on
// after the last of them. When one of them is taken (ErrTaken) or not ours to
// give (ErrOutside), none is marked.
func (a *Allocator) Take(addrs ...netip.Addr) error {
	for i, addr := range addrs {
		p := a.poolOf(addr)
		switch {
		case p == nil:
			return fmt.Errorf("address %s: %w", addr, ErrOutside)
		case p.taken(p.number(addr)) || slices.Contains(addrs[:i], addr):
			return fmt.Errorf("address %s: %w", addr, ErrTaken)
		}
	}
	for _, addr := range addrs {
		p := a.poolOf(addr)
		p.take(p.number(addr))
	}
	return nil
}

// Release frees addresses. One that is not taken, or not ours, is no error.
func (a *Allocator) Release(addrs ...netip.Addr) {
	for _, addr := range addrs {
		if p := a.poolOf(addr); p != nil {
			p.release(p.number(addr))
		}
	}
}

// Used is the number of addresses taken, of all families together.
func (a *Allocator) Used() int {
	n := 0
	for _, p := range a.pools {
		n += p.used
	}
	return n
}

func (a *Allocator) poolOf(addr netip.Addr) *pool {
	for _, p := range a.pools {
		if p.serves(addr) {
			return p
		}
	}
	return nil
}

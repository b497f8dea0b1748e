// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vppstats reads VPP's stats segment: buffers and the counters of
// interfaces. GoVPP's client is of no use here: it knows no gauges, which buffers
// are in VPP 26.06, and takes them for 0; and it follows VPP's restarts by a
// goroutine that may miss them and that writes to standard output.
package vppstats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Patience is how long VPP may take to hand out its segment.
const Patience = 3 * time.Second

// ErrUnknown is wrapped by errors that mean that VPP's statistics are not as this
// package knows them. It is never a reason to take a figure for 0.
var ErrUnknown = errors.New("statistics of a kind that polynic does not know")

// Reader reads the statistics of the VPP that listens on a socket. It keeps
// nothing open between two calls, so that each asks the VPP that runs then. It may
// be used concurrently. Errors wrap dataplane.ErrAway where VPP does not answer.
type Reader struct{ socket string }

// New makes a reader. VPP need not be there yet.
func New(socket string) *Reader { return &Reader{socket} }

// Pool is a pool of buffers, one for each NUMA node that VPP uses. The figures are
// as old as VPP's last update of them: 10 s at most, unless update-interval in
// section statseg of its configuration says otherwise.
type Pool struct {
	// Name is VPP's, such as default-numa-0.
	Name string
	// NUMA is the number of the node, -1 where the name has none.
	NUMA int
	// Available are the buffers in the pool, Cached those that threads keep for
	// themselves, Used the others.
	Available, Cached, Used uint64
}

// Free is how many buffers can be had.
func (p Pool) Free() uint64 { return p.Available + p.Cached }

// Total is how many there are.
func (p Pool) Total() uint64 { return p.Free() + p.Used }

// Traffic counts packets and their bytes.
type Traffic struct{ Packets, Bytes uint64 }

// Counters are those of an interface since VPP started, over all threads, or
// since they were cleared.
type Counters struct {
	// Name is VPP's, such as memif1/0.
	Name string
	// Rx is what VPP has received from the other end, Tx what it has sent there.
	Rx, Tx Traffic
	// Drops are packets that VPP dropped, whatever the reason; RxErrors, RxMisses
	// and RxNoBuffers those that it could not take, TxErrors not send.
	Drops, RxErrors, RxMisses, RxNoBuffers, TxErrors uint64
}

// The names of VPP's statistics (vlib/buffer.c, vnet/interface.h).
const (
	poolPrefix      = "/buffer-pools/"
	interfacePrefix = "/if/"
	interfaceNames  = interfacePrefix + "names"
	// deletedName is what an interface is called that is gone.
	deletedName = "deleted"
)

// Buffers are VPP's pools of buffers, by name; there is at least one.
func (r *Reader) Buffers(ctx context.Context) ([]Pool, error) {
	var pools []Pool
	err := r.read(ctx, func(s segment) (err error) {
		pools, err = s.pools()
		return err
	})
	return pools, err
}

// Interfaces are the counters of all interfaces, by sw_if_index.
func (r *Reader) Interfaces(ctx context.Context) (map[uint32]Counters, error) {
	var all map[uint32]Counters
	err := r.read(ctx, func(s segment) (err error) {
		all, err = s.interfaces()
		return err
	})
	return all, err
}

func (s segment) pools() ([]Pool, error) {
	entries, err := s.entries(poolPrefix)
	if err != nil {
		return nil, err
	}
	pools := map[string]*Pool{}
	found := map[string]int{}
	for name, e := range entries {
		pool, figure, is := strings.Cut(strings.TrimPrefix(name, poolPrefix), "/")
		if !is {
			continue
		}
		if pools[pool] == nil {
			pools[pool] = &Pool{Name: pool, NUMA: numaOf(pool)}
		}
		at := map[string]*uint64{
			"available": &pools[pool].Available, "cached": &pools[pool].Cached, "used": &pools[pool].Used,
		}[figure]
		if at == nil {
			continue
		}
		if *at, err = e.number(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[pool]++
	}
	var all []Pool
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		if found[name] != 3 {
			return nil, fmt.Errorf("%w: pool %s lacks one of available, cached, used", ErrUnknown, name)
		}
		all = append(all, *pools[name])
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: there is no pool of buffers", ErrUnknown)
	}
	return all, nil
}

// numaOf is the number at the end of a pool's name.
func numaOf(pool string) int {
	_, text, _ := strings.Cut(pool, "-numa-")
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return -1
}

func (s segment) interfaces() (map[uint32]Counters, error) {
	entries, err := s.entries(interfacePrefix)
	if err != nil {
		return nil, err
	}
	names, err := s.strings(entries[interfaceNames])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", interfaceNames, err)
	}
	all := make([]Counters, len(names))
	for _, c := range []struct {
		name string
		at   func(*Counters) *Traffic
	}{
		{"/if/rx", func(c *Counters) *Traffic { return &c.Rx }},
		{"/if/tx", func(c *Counters) *Traffic { return &c.Tx }},
	} {
		if err := s.pairs(entries[c.name], func(i int, t Traffic) { add(all, i, c.at, t) }); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for _, c := range []struct {
		name string
		at   func(*Counters) *uint64
	}{
		{"/if/drops", func(c *Counters) *uint64 { return &c.Drops }},
		{"/if/rx-error", func(c *Counters) *uint64 { return &c.RxErrors }},
		{"/if/rx-miss", func(c *Counters) *uint64 { return &c.RxMisses }},
		{"/if/rx-no-buf", func(c *Counters) *uint64 { return &c.RxNoBuffers }},
		{"/if/tx-error", func(c *Counters) *uint64 { return &c.TxErrors }},
	} {
		count := func(i int, n uint64) {
			if i < len(all) {
				*c.at(&all[i]) += n
			}
		}
		if err := s.numbers(entries[c.name], count); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	byIndex := map[uint32]Counters{}
	for i, c := range all {
		if names[i] != "" && names[i] != deletedName {
			c.Name = names[i]
			byIndex[uint32(i)] = c
		}
	}
	return byIndex, nil
}

// add adds what one thread counted for an interface.
func add(all []Counters, i int, at func(*Counters) *Traffic, t Traffic) {
	if i < len(all) {
		sum := at(&all[i])
		sum.Packets += t.Packets
		sum.Bytes += t.Bytes
	}
}

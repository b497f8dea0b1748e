// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

//nolint:gochecknoglobals // what the kernel remembers outlives a test
var lastNumber atomic.Uint32

func nextNumber() uint32 { return 256 + lastNumber.Add(1)%60000 }

// withoutEnd is a context for cleaning up.
func withoutEnd(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}

// variety is one service of every shape that there is, in both families.
func (b *serviceBench) variety() []desired.Service {
	var list []desired.Service
	for family := range len(families()) { // IPv4 first
		for _, p := range []model.Protocol{model.TCP, model.UDP, model.SCTP} {
			list = append(list, b.rich(p, family))
		}
		none := b.service(model.TCP, family)
		sticky := b.rich(model.TCP, family)
		sticky.Affinity = 10800
		unnamed := b.service(model.UDP, family, backend(family, 7, 53))
		unnamed.Key.Port = ""
		long := b.service(model.TCP, family, backend(family, 8, 80))
		long.Key.Service.Namespace, long.Key.Service.Name, long.Key.Port = letters(63), letters(63), letters(15)
		stickyNone := b.service(model.SCTP, family)
		stickyNone.Affinity = 60
		list = append(list, none, sticky, stickyNone, unnamed, long, b.left(family, 0), b.left(family, 60))
	}
	return list
}

func letters(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + i%26)
	}
	return string(text)
}

// rich is a service with every kind of frontend and of backend.
func (b *serviceBench) rich(p model.Protocol, family int) desired.Service {
	local, other := backend(family, 2, 8080), backend(family, 3, 8080)
	local.Local = true
	custom := backend(family, 4, 9090)
	custom.Local, custom.Main = true, address(family, 5)
	s := b.service(p, family, local, other, custom)
	sources := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.7/32")}
	if family == 1 {
		sources = []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("2001:db8:1:2::/64")}
	}
	node := uint16(30000 + nextNumber()%2000)
	s.Frontends[0].Local = true
	s.Frontends = append(s.Frontends,
		desired.Frontend{Kind: desired.FrontendExternal, Address: b.externalAddress(family), Port: 80},
		desired.Frontend{Kind: desired.FrontendLoadBalancer, Address: b.externalAddress(family), Port: 80, Local: true, Sources: sources},
		desired.Frontend{Kind: desired.FrontendNode, Port: node, Local: true},
	)
	return s
}

// left is a service of which the last backends on this node are on their way out.
func (b *serviceBench) left(family, affinity int) desired.Service {
	s := b.rich(model.UDP, family)
	s.Affinity = affinity
	s.Backends, s.Leaving = []desired.Backend{s.Backends[1]}, []desired.Backend{s.Backends[2], s.Backends[0]}
	return s
}

// address is one of a pod that need not be.
func address(family, n int) netip.Addr {
	if family == 1 {
		return netip.MustParseAddr(fmt.Sprintf("fd10:1:0:1::%x", 0x100+n))
	}
	return netip.AddrFrom4([4]byte{10, 1, 1, byte(n)})
}

func backend(family, n int, port uint16) desired.Backend {
	return desired.Backend{Address: address(family, n), Port: port}
}

func local(e desired.Backend) desired.Backend {
	e.Local = true
	return e
}

func putAndObserve(b *serviceBench) {
	b.expect()
	list := b.variety()
	b.put(list...)
	b.expect(list...)
}

func putAgain(b *serviceBench) {
	list := b.variety()
	for range 3 {
		b.put(list...)
	}
	b.expect(list...)
}

func changeServices(b *serviceBench) {
	s, stays := b.rich(model.UDP, 0), b.rich(model.TCP, 0)
	b.put(s, stays)
	for _, change := range []func(){
		func() { s.Backends = s.Backends[1:] },
		func() { s.Backends = nil },
		func() { s.Backends = []desired.Backend{backend(0, 9, 1), backend(0, 2, 8080), backend(0, 10, 2)} },
		func() { s.Backends[1].Local = true },
		func() { s.Backends[1].Main = address(0, 11) },
		func() { s.Backends, s.Leaving = s.Backends[2:], s.Backends[1:2] },
		func() { s.Affinity = 60 },
		func() { s.Backends, s.Leaving = append(s.Backends, s.Leaving...), nil },
		func() { s.Backends, s.Leaving = s.Backends[:1], s.Backends[1:] },
		func() { s.Leaving[0].Port = 99 },
		func() { s.Leaving = append(s.Leaving, local(backend(0, 12, 99))) },
		func() { s.Leaving = s.Leaving[1:] },
		func() { s.Leaving = nil },
		func() { s.Backends = append(s.Backends, backend(0, 13, 100)) },
		func() { s.Affinity = 61 },
		func() { s.Affinity = 0 },
		func() { s.Frontends[0].Local = false },
		func() { s.Frontends[2].Sources = s.Frontends[2].Sources[:1] },
		func() { s.Frontends[2].Sources = nil },
		func() { s.Frontends[1].Kind = desired.FrontendLoadBalancer },
		func() { s.Frontends = s.Frontends[1:] },
		func() { s.Frontends[0].Port = 81 },
		func() { s.Frontends = s.Frontends[:1] },
	} {
		change()
		b.put(s)
		b.expect(s, stays)
	}
	b.remove(s)
	b.expect(stays)
}

// What one service gives up another gets, in one step.
func passFrontend(b *serviceBench) {
	from, to := b.rich(model.TCP, 0), b.rich(model.TCP, 0)
	b.put(from, to)
	to.Frontends = append(to.Frontends, from.Frontends[1:]...)
	from.Frontends = from.Frontends[:1]
	b.put(to, from)
	b.expect(from, to)
	from.Frontends, to.Frontends = to.Frontends, from.Frontends
	b.put(to, from)
	b.expect(from, to)
	to.Frontends = append(to.Frontends, from.Frontends...)
	if err := b.services.ApplyServices(b.Context(), []desired.Service{to}, []desired.ServiceKey{from.Key}); err != nil {
		b.Fatal(err)
	}
	b.expect(to)
}

func servicesAfterRestart(b *serviceBench) {
	list := b.variety()
	b.put(list...)
	b.reopen()
	b.expect(list...)
	list[0].Backends = list[0].Backends[:1]
	b.put(list[0])
	b.expect(list...)
	b.reopen() // and one that changes before it looks
	list[0].Backends = append(list[0].Backends, backend(0, 20, 8080), backend(0, 21, 8080))
	b.put(list[0])
	b.remove(list[1])
	b.expect(append(list[2:], list[0])...)
}

func damageServices(b *serviceBench) {
	list := b.variety()
	b.put(list...)
	for _, s := range list {
		b.Damage(s.Key)
		found, err := b.services.ObserveServices(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if got, ok := found[s.Key]; ok && got.Equal(s) {
			b.Errorf("observed as whole after the damage: %s", s)
		}
		for _, other := range list {
			if got, ok := found[other.Key]; ok && got.Equal(other) || other.Key == s.Key {
				continue
			}
			// Whatever else was lost by it must be told too, and can be put again.
			b.put(other)
		}
		b.put(s)
		b.expect(list...)
	}
	// One that changes, and one that goes, before anybody noticed.
	b.Damage(list[0].Key)
	b.Damage(list[1].Key)
	list[0].Backends = list[0].Backends[:1]
	b.put(list[0])
	b.remove(list[1])
	b.expect(append(list[2:], list[0])...)
}

func removeServices(b *serviceBench) {
	b.put(b.variety()...)
	for range 2 {
		if err := b.services.RemoveServices(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.expect()
	}
	list := b.variety()
	b.put(list...)
	b.expect(list...)
}

func removeAbsentService(b *serviceBench) {
	b.remove(b.rich(model.TCP, 0))
	s := b.rich(model.TCP, 0)
	b.put(s)
	b.remove(s)
	b.remove(s)
	b.expect()
}

func manyServices(b *serviceBench) {
	var list []desired.Service
	for range 200 {
		s := b.service(model.TCP, 0)
		for i := range 10 {
			s.Backends = append(s.Backends, backend(0, i, uint16(8000+len(list))))
		}
		list = append(list, s)
	}
	b.put(list...)
	b.expect(list...)
	big := b.service(model.TCP, 1)
	for i := range 1000 {
		big.Backends = append(big.Backends, backend(1, i, 80))
	}
	b.put(big)
	b.expect(append(list, big)...)
	big.Backends = big.Backends[500:]
	b.put(big)
	b.expect(append(list, big)...)
}

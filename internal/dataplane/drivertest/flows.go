// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// dial begins a flow that goes on.
func (b *serviceBench) dial(from Place, network string, to netip.AddrPort) net.Conn {
	b.Helper()
	var conn net.Conn
	if err := from.Do(func() (err error) {
		conn, err = net.DialTimeout(network, to.String(), patience)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// staleFlow: a datagram flow that goes on without a pause follows its service, and
// others are left alone.
func staleFlow(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, family := range families() {
		first, second := b.localServer(server, family, 8081, model.UDP), b.localServer(server, family, 8082, model.UDP)
		s, stays := b.service(model.UDP, family, first), b.service(model.UDP, family, first)
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s, stays)
		var flows []net.Conn
		for _, f := range s.Frontends {
			flows = append(flows, b.dial(client.Place, "udp", b.at(f, s.Key)), b.dial(b.Node, "udp", b.at(f, s.Key)))
		}
		kept := b.dial(client.Place, "udp", b.at(stays.Frontends[0], stays.Key))
		b.expectFrom(append(flows, kept), first)
		s.Backends = []desired.Backend{second}
		b.put(s)
		b.expectFrom(flows, second)
		b.expectFrom([]net.Conn{kept}, first)
		s.Backends = []desired.Backend{second, first}
		b.put(s)
		b.expectFrom(flows, second) // nothing went, so nothing changes
		b.remove(s, stays)
	}
}

// earlyFlow: a datagram flow that began before there was its service gets there as
// soon as there is.
func earlyFlow(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, family := range families() {
		e := b.localServer(server, family, 8085, model.UDP)
		s := b.service(model.UDP, family, e)
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		var flows []net.Conn
		for _, f := range s.Frontends {
			for _, from := range []Place{client.Place, b.Node} {
				conn := b.dial(from, "udp", b.at(f, s.Key))
				if text, err := exchange(conn, forbearance); err == nil {
					b.Errorf("flow to %s: %s answers, and there is no service", conn.RemoteAddr(), text)
				}
				flows = append(flows, conn)
			}
		}
		b.put(s)
		for _, conn := range flows {
			_, _ = exchange(conn, 0) // hears of the refusal before
		}
		b.expectFrom(flows, e)
		b.remove(s)
	}
}

// expectFrom fails unless the backend answers in every flow.
func (b *serviceBench) expectFrom(flows []net.Conn, by desired.Backend) {
	b.Helper()
	want := netip.AddrPortFrom(by.Address, by.Port).String()
	for _, conn := range flows {
		text, err := exchange(conn, patience)
		if err != nil {
			b.Errorf("flow to %s: %v", conn.RemoteAddr(), err)
			continue
		}
		if a, err := parseAnswer(text); err != nil || a.Backend != want {
			b.Errorf("flow to %s: %s answers, want %s (%v)", conn.RemoteAddr(), a.Backend, want, err)
		}
	}
}

// streamStays: a connection to a backend that gets no more new ones goes on, as it
// must while that ends what it has begun.
func streamStays(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, family := range families() {
		leaves, stays := b.localServer(server, family, 8083, model.TCP), b.localServer(server, family, 8084, model.TCP)
		s := b.service(model.TCP, family, leaves)
		b.put(s)
		conn := b.dial(client.Place, "tcp", b.at(s.Frontends[0], s.Key))
		if _, err := exchange(conn, patience); err != nil {
			b.Fatal(err)
		}
		for _, backends := range [][]desired.Backend{{leaves, stays}, {stays}, nil} {
			s.Backends = backends
			b.put(s)
			if err := echoes(conn); err != nil {
				b.Errorf("%s: with %d backends now: %v", s.Key, len(backends), err)
			}
		}
		b.remove(s)
		if err := echoes(conn); err != nil {
			b.Errorf("%s: without its service: %v", s.Key, err)
		}
	}
}

func echoes(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("still there?")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len("still there?")))
	return err
}

// underLoad: while backends come and go, nobody who asks is turned away.
func underLoad(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	var backends []desired.Backend
	for i := range 5 {
		backends = append(backends, b.localServer(server, 0, uint16(8200+i), model.TCP))
	}
	s := b.service(model.TCP, 0, backends...)
	b.put(s)
	at := b.at(s.Frontends[0], s.Key)
	var asking sync.WaitGroup
	var asked, failed atomic.Int64
	done := make(chan struct{})
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := b.ask(client.Place, model.TCP, at); err != nil {
					failed.Add(1)
					b.Error(err)
				}
				asked.Add(1)
			}
		})
	}
	const changes = 60
	for i := range changes {
		s.Backends = append([]desired.Backend{backends[i%5]}, backends[(i+2)%5:]...)
		if err := b.services.ApplyServices(b.Context(), []desired.Service{unique(s)}, nil); err != nil {
			b.Error(err)
		}
	}
	close(done)
	asking.Wait()
	if asked.Load() < 50 {
		b.Errorf("%d were asked: too few to tell", asked.Load())
	}
	b.Logf("%d connections during %d changes, %d failed", asked.Load(), changes, failed.Load())
}

// unique is the service with every backend once.
func unique(s desired.Service) desired.Service {
	seen := map[desired.Backend]bool{}
	var list []desired.Backend
	for _, e := range s.Backends {
		if !seen[e] {
			list = append(list, e)
		}
		seen[e] = true
	}
	s.Backends = list
	return s
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// onEach runs a test for every protocol and family.
func (b *serviceBench) onEach(test func(b *serviceBench, p model.Protocol, family int)) {
	for _, p := range []model.Protocol{model.TCP, model.UDP, model.SCTP} {
		for name, family := range families() {
			before := b.Failed()
			test(b, p, family)
			if !before && b.Failed() {
				b.Logf("first with %s over %s", p, name)
			}
		}
	}
}

func (b *serviceBench) localServer(pod ServicePod, family int, port uint16, p model.Protocol) desired.Backend {
	b.Helper()
	e := b.serve(pod.Place, pod.Addresses[family], port, p)
	e.Local = true
	return e
}

func everyProtocol(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		s := b.service(p, family, b.localServer(server, family, 8080, p), b.serve(b.Outside, b.Outside.Addresses[family], 9090, p))
		b.put(s)
		for range 4 {
			b.expectAnswer(client.Place, s, s.Frontends[0], s.Backends...)
			b.expectAnswer(b.Node, s, s.Frontends[0], s.Backends...)
		}
		b.remove(s)
	})
}

func everyFrontend(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		s := b.service(p, family, b.localServer(server, family, 8080, p))
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		for _, f := range s.Frontends {
			for _, from := range []Place{client.Place, b.Node, b.Outside} {
				b.expectAnswer(from, s, f, s.Backends...)
			}
		}
		b.remove(s)
	})
}

// outsideFrontends is one of every kind that is asked for from outside.
func (b *serviceBench) outsideFrontends(family int) []desired.Frontend {
	return []desired.Frontend{
		{Kind: desired.FrontendExternal, Address: b.externalAddress(family), Port: 80},
		{Kind: desired.FrontendLoadBalancer, Address: b.externalAddress(family), Port: 80},
		{Kind: desired.FrontendNode, Port: uint16(30000 + nextNumber()%2000)},
	}
}

// shares has every one of a few backends, and of many, asked sometimes.
func shares(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, count := range []int{3, 1, 5} {
		s := b.service(model.TCP, 0)
		for i := range count {
			s.Backends = append(s.Backends, b.localServer(server, 0, uint16(7000+10*count+i), model.TCP))
		}
		b.put(s)
		seen := map[string]int{}
		for range 40 * count {
			seen[b.expectAnswer(client.Place, s, s.Frontends[0], s.Backends...).Backend]++
		}
		if len(seen) != count {
			b.Errorf("%d backends of %d answer", len(seen), count)
		}
		for name, n := range seen {
			if n < 10 || n > 100 { // 40 are due
				b.Errorf("backend %s answers %d times of %d", name, n, 40*count)
			}
		}
	}
}

func balancerSources(b *serviceBench) {
	server := b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		outside := b.Outside.Addresses[family]
		s := b.service(p, family, b.localServer(server, family, 8080, p))
		f := desired.Frontend{Kind: desired.FrontendLoadBalancer, Address: b.externalAddress(family), Port: 80}
		f.Sources = []netip.Prefix{netip.PrefixFrom(address(family, 1), outside.BitLen()), netip.PrefixFrom(outside, outside.BitLen())}
		s.Frontends = append(s.Frontends, f)
		b.put(s)
		b.expectAnswer(b.Outside, s, f, s.Backends...)
		s.Frontends[1].Sources = f.Sources[:1]
		b.put(s)
		if a, err := b.askWithin(forbearance, b.Outside, p, b.at(f, s.Key)); err == nil {
			b.Errorf("%s answers %s, which is no source of %s", a.Backend, outside, s)
		}
		b.remove(s)
	})
}

// affinity keeps a client at its backend, for as long as that serves.
func affinity(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, p := range []model.Protocol{model.TCP, model.UDP} {
		for _, family := range families() {
			s := b.service(p, family)
			s.Affinity = 100
			for i := range 6 {
				s.Backends = append(s.Backends, b.localServer(server, family, uint16(7500+i), p))
			}
			s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
			b.put(s)
			for _, from := range []Place{client.Place, b.Outside} {
				f := s.Frontends[len(s.Frontends)-1]
				first := b.expectAnswer(from, s, f, s.Backends...)
				for range 10 {
					if a := b.expectAnswer(from, s, f, s.Backends...); a.Backend != first.Backend {
						b.Errorf("%s: a client goes from %s to %s", s.Key, first.Backend, a.Backend)
					}
				}
			}
			b.affinityEnds(client.Place, s)
			b.remove(s)
		}
	}
}

// affinityEnds takes the client's backend away: it must find another, and keep that
// when others come.
func (b *serviceBench) affinityEnds(client Place, s desired.Service) {
	b.Helper()
	all := s.Backends
	first := b.expectAnswer(client, s, s.Frontends[0], s.Backends...)
	s.Backends = nil
	for _, e := range all {
		if netip.AddrPortFrom(e.Address, e.Port).String() != first.Backend {
			s.Backends = append(s.Backends, e)
		}
	}
	b.put(s)
	second := b.expectAnswer(client, s, s.Frontends[0], s.Backends...)
	s.Backends = all
	b.put(s)
	for range 10 {
		if a := b.expectAnswer(client, s, s.Frontends[0], s.Backends...); a.Backend != second.Backend {
			b.Errorf("%s: a client goes from %s to %s as backends come", s.Key, second.Backend, a.Backend)
		}
	}
}

// affinityExpires: a client that has not asked for as long as it is held to its
// backend gets any.
func affinityExpires(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, family := range families() {
		s := b.service(model.TCP, family)
		s.Affinity = 1
		for i := range 6 {
			s.Backends = append(s.Backends, b.localServer(server, family, uint16(7600+i), model.TCP))
		}
		b.put(s)
		first := b.expectAnswer(client.Place, s, s.Frontends[0], s.Backends...)
		const attempts = 20 // each finds another but once in six times
		for i := range attempts {
			<-time.After(time.Duration(s.Affinity)*time.Second + forbearance)
			if a := b.expectAnswer(client.Place, s, s.Frontends[0], s.Backends...); a.Backend != first.Backend {
				break
			}
			if i == attempts-1 {
				b.Errorf("%s: a client stays at %s", s.Key, first.Backend)
			}
		}
	}
}

// nodeServes is a backend in the node's own network, as pods have that use it.
func nodeServes(b *serviceBench) {
	client := b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		e := b.serve(b.Node, b.Node.Addresses[family], 8300, p)
		e.Local = true
		s := b.service(p, family, e)
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		for _, f := range s.Frontends {
			for _, from := range []Place{client.Place, b.Node, b.Outside} {
				b.expectAnswer(from, s, f, e)
			}
		}
		b.remove(s)
	})
}

// localPolicies serves by the node's own backends alone where that is asked for.
func localPolicies(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		local := b.localServer(server, family, 8080, p)
		other := b.serve(b.Outside, b.Outside.Addresses[family], 9191, p)
		s := b.service(p, family, other, local)
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		for i := range s.Frontends {
			s.Frontends[i].Local = true
		}
		b.put(s)
		for range 6 {
			b.expectAnswer(client.Place, s, s.Frontends[0], local)
			for _, f := range s.Frontends[1:] {
				if a := b.expectAnswer(b.Outside, s, f, local); a.Client != b.Outside.Addresses[family] {
					b.Errorf("%s at %s: the backend sees %s, not the client", s.Key, f, a.Client)
				}
			}
		}
		s.Backends = []desired.Backend{other}
		b.put(s)
		b.expectRefused(client.Place, s, s.Frontends[0])
		for _, f := range s.Frontends[1:] {
			b.expectRefused(b.Outside, s, f)
			b.expectAnswer(client.Place, s, f, other) // what is inside the cluster may use any
			b.expectAnswer(b.Node, s, f, other)
		}
		b.remove(s)
	})
}

// nobodyServes refuses, at once and in words of the protocol, whoever asks.
func nobodyServes(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		s := b.service(p, family)
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		for _, f := range s.Frontends {
			for _, from := range []Place{client.Place, b.Node, b.Outside} {
				b.expectRefused(from, s, f)
			}
		}
		s.Backends = []desired.Backend{b.localServer(server, family, 8080, p)}
		b.put(s)
		for _, f := range s.Frontends {
			b.expectAnswer(client.Place, s, f, s.Backends...)
		}
		b.remove(s)
	})
}

func (b *serviceBench) expectRefused(from Place, s desired.Service, f desired.Frontend) {
	b.Helper()
	limit := patience
	if s.Key.Protocol == model.SCTP {
		limit = forbearance // a raw socket hears of no refusal
	}
	a, err := b.askWithin(limit, from, s.Key.Protocol, b.at(f, s.Key))
	if err == nil {
		b.Errorf("%s at %s: %s answers", s.Key, f, a.Backend)
	} else if s.Key.Protocol != model.SCTP && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EPERM) {
		// A datagram of the node's own is refused as it is written: not permitted.
		b.Errorf("%s at %s: %v, want it refused", s.Key, f, err)
	}
}

// hairpin has a pod reach itself by every frontend, beside others.
func hairpin(b *serviceBench) {
	pod, other := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		s := b.service(p, family, b.localServer(pod, family, 8080, p))
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		for _, f := range s.Frontends {
			b.expectAnswer(pod.Place, s, f, s.Backends...)
			b.expectAnswer(other.Place, s, f, s.Backends...)
		}
		b.remove(s)
	})
}

// customBackend is the traffic of a service at a pod's custom interface, whose own
// pod asks it too.
func customBackend(b *serviceBench) {
	pod, other := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		e := b.serve(pod.Place, pod.Custom[family], 8080, p)
		e.Local, e.Main = true, pod.Addresses[family]
		s := b.service(p, family, e)
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		for _, f := range s.Frontends {
			for _, from := range []Place{other.Place, b.Node, b.Outside} {
				b.expectAnswer(from, s, f, e)
			}
			if _, lacks := b.Lacks[OwnCustomInterface]; !lacks {
				b.expectAnswer(pod.Place, s, f, e)
			}
		}
		b.remove(s)
	})
}

// clientAddresses: pods are seen as they are; who comes from outside is hidden where
// any backend may serve, since its answers must come back by this node.
func clientAddresses(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		s := b.service(p, family, b.localServer(server, family, 8080, p))
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		_, isHidden := b.Lacks[OtherClients]
		if a := b.expectAnswer(client.Place, s, s.Frontends[0], s.Backends...); a.Client != client.Addresses[family] && (p == model.TCP || !isHidden) {
			b.Errorf("%s: the backend sees %s, want the pod's %s", s.Key, a.Client, client.Addresses[family])
		}
		for _, f := range s.Frontends[1:] {
			if a := b.expectAnswer(b.Outside, s, f, s.Backends...); a.Client == b.Outside.Addresses[family] {
				b.Errorf("%s at %s: the backend sees %s, which it might answer by another way", s.Key, f, a.Client)
			}
		}
		// The other host as the backend answers another client of the node's rightly.
		s.Backends = []desired.Backend{b.serve(b.Outside, b.Outside.Addresses[family], 9292, p)}
		b.put(s)
		for _, f := range s.Frontends {
			b.expectAnswer(b.Outside, s, f, s.Backends...)
		}
		b.remove(s)
	})
}

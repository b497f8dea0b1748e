// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"net"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// leavingServes: what is on its way out serves where the policy is Local and nothing
// better is on the node, and nowhere else; it gives way to what comes.
func leavingServes(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	b.onEach(func(b *serviceBench, p model.Protocol, family int) {
		leaving, ready := b.localServer(server, family, 8401, p), b.localServer(server, family, 8402, p)
		other := b.serve(b.Outside, b.Outside.Addresses[family], 8403, p)
		inside, outside := b.service(p, family, other), b.service(p, family, other)
		inside.Frontends[0].Local = true
		outside.Frontends = append(outside.Frontends, b.outsideFrontends(family)...)
		for i := range outside.Frontends[1:] {
			outside.Frontends[1+i].Local = true
		}
		put := func(backends, leaving []desired.Backend) {
			inside.Backends, inside.Leaving, outside.Backends, outside.Leaving = backends, leaving, backends, leaving
			b.put(inside, outside)
		}
		put([]desired.Backend{other}, []desired.Backend{leaving})
		for range 4 {
			b.expectAnswer(client.Place, inside, inside.Frontends[0], leaving)
			b.expectAnswer(client.Place, outside, outside.Frontends[0], other)
			b.expectAnswer(client.Place, outside, outside.Frontends[1], other) // what is inside the cluster may use any
			for _, f := range outside.Frontends[1:] {
				if a := b.expectAnswer(b.Outside, outside, f, leaving); a.Client != b.Outside.Addresses[family] {
					b.Errorf("%s at %s: the backend sees %s, not the client", outside.Key, f, a.Client)
				}
			}
		}
		b.expectAnswer(server.Place, inside, inside.Frontends[0], leaving) // itself
		put([]desired.Backend{other, ready}, nil)
		for range 4 {
			b.expectAnswer(client.Place, inside, inside.Frontends[0], ready)
			b.expectAnswer(b.Outside, outside, outside.Frontends[1], ready)
		}
		put([]desired.Backend{other}, nil)
		b.expectRefused(client.Place, inside, inside.Frontends[0])
		b.expectRefused(b.Outside, outside, outside.Frontends[1])
		b.remove(inside, outside)
	})
}

// leavingKeeps: a backend that begins to leave, as the node's only one, keeps its
// clients, also those that are held to it, until it is gone.
func leavingKeeps(b *serviceBench) {
	server := b.Pod()
	for _, family := range families() {
		leaving, next := b.localServer(server, family, 8411, model.UDP), b.localServer(server, family, 8412, model.UDP)
		other := b.serve(b.Outside, b.Outside.Addresses[family], 8413, model.UDP)
		for _, affinity := range []int{0, 100} {
			s := b.service(model.UDP, family, leaving, other)
			s.Affinity = affinity
			s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
			for i := range s.Frontends[1:] {
				s.Frontends[1+i].Local = true
			}
			b.put(s)
			f := s.Frontends[len(s.Frontends)-1]
			flow := []net.Conn{b.dial(b.Outside, "udp", b.at(f, s.Key))}
			b.expectFrom(flow, leaving)
			s.Backends, s.Leaving = []desired.Backend{other}, []desired.Backend{leaving}
			b.put(s)
			b.expectFrom(flow, leaving)
			b.expectAnswer(b.Outside, s, f, leaving)
			s.Backends, s.Leaving = []desired.Backend{other, next}, nil
			b.put(s)
			b.expectFrom(flow, next)
			b.expectAnswer(b.Outside, s, f, next)
			b.remove(s)
		}
	}
}

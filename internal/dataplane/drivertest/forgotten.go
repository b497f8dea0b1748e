// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"net"
	"net/netip"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/harness"
)

// forgottenFlow: a datagram flow to a custom interface of which connection tracking
// forgets, as kube-proxy has it do at any time, goes on to the same backend; and
// still every backend has its share of flows.
func forgottenFlow(b *serviceBench) {
	client, server := b.Pod(), b.Pod()
	for _, family := range families() {
		s := b.service(model.UDP, family)
		for i := range 5 {
			e := b.serve(server.Place, server.Custom[family], uint16(7700+i), model.UDP)
			e.Local, e.Main = true, server.Addresses[family]
			s.Backends = append(s.Backends, e)
		}
		s.Frontends = append(s.Frontends, b.outsideFrontends(family)...)
		b.put(s)
		flows := b.flowsTo(s, client.Place, b.Node, b.Outside)
		first := map[net.Conn]string{}
		seen := map[string]int{}
		for _, conn := range flows {
			first[conn] = b.answering(conn)
			seen[first[conn]]++
		}
		for range 20 {
			if err := b.Node.Do(harness.ForgetFlows); err != nil {
				b.Fatal(err)
			}
			b.stayAt(first)
		}
		for _, e := range s.Backends {
			// 24 are due, and once in a million times it is fewer than 5, or more than 55.
			if n := seen[netip.AddrPortFrom(e.Address, e.Port).String()]; n < 5 || n > 55 {
				b.Errorf("%s: backend %s has %d of %d flows", s.Key, e, n, len(flows))
			}
		}
		b.remove(s)
	}
}

// flowsTo begins ten flows from each place to each frontend.
func (b *serviceBench) flowsTo(s desired.Service, places ...Place) []net.Conn {
	b.Helper()
	var flows []net.Conn
	for _, f := range s.Frontends {
		for _, from := range places {
			for range 10 {
				flows = append(flows, b.dial(from, "udp", b.at(f, s.Key)))
			}
		}
	}
	return flows
}

// stayAt fails unless in each flow the backend answers that is named.
func (b *serviceBench) stayAt(flows map[net.Conn]string) {
	b.Helper()
	for conn, first := range flows {
		if by := b.answering(conn); by != first {
			b.Fatalf("a flow to %s goes from %s to %s", conn.RemoteAddr(), first, by)
		}
	}
}

// answering is the backend that answers in a flow.
func (b *serviceBench) answering(conn net.Conn) string {
	b.Helper()
	text, err := exchange(conn, patience)
	if err != nil {
		b.Fatalf("flow to %s: %v", conn.RemoteAddr(), err)
	}
	a, err := parseAnswer(text)
	if err != nil {
		b.Fatalf("flow to %s: %v", conn.RemoteAddr(), err)
	}
	return a.Backend
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// web is a service of two families, with everything that one can have.
func web() model.Service {
	return model.Service{
		Ref: model.ServiceRef{Namespace: "shop", Name: "web"},
		Ports: []model.ServicePort{
			{Name: "http", Protocol: model.TCP, Port: 80, NodePort: 30080},
			{Name: "dns", Protocol: model.UDP, Port: 53},
		},
		ClusterIPs:      addrs("10.96.0.10", "fd00:96::a"),
		ExternalIPs:     addrs("192.0.2.77"),
		LoadBalancerIPs: addrs("198.51.100.1"), LoadBalancerSources: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
	}
}

func podNumber(n int) model.PodRef {
	return model.PodRef{Namespace: "shop", Name: fmt.Sprintf("web-%d", n), UID: fmt.Sprintf("uid-%d", n)}
}

// slice has the endpoints of pods on the nodes, IPv4, all of them ready.
func slice(nodes ...string) model.EndpointSlice {
	s := model.EndpointSlice{
		Name: "web-1", Service: model.ServiceRef{Namespace: "shop", Name: "web"},
		Ports: []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: 8080}},
	}
	for n, node := range nodes {
		s.Endpoints = append(s.Endpoints, model.Endpoint{
			Address: netip.AddrFrom4([4]byte{10, 1, byte(n + 1), 2}), Pod: podNumber(n + 1), Node: node, Ready: true, Serving: true,
		})
	}
	return s
}

// toTap has the second pod serve at tap1, IPv4 only.
func toTap(p model.PodRef) (model.Redirect, bool) {
	return model.Redirect{Pod: p, Interface: "tap1", Addresses: addrs("10.1.2.3"), Node: "there"}, p == podNumber(2)
}

// shown is one line for each port, and one for each endpoint that is no backend.
func shown(r plan.ResolvedService) []string {
	var lines []string
	if r.Left != "" {
		lines = append(lines, "left: "+r.Left)
	}
	for _, p := range r.Ports {
		if len(p.Made.Frontends) > 0 {
			lines = append(lines, p.Made.String())
		}
		for _, e := range p.Endpoints {
			if missing := e.Missing(); missing != "" {
				lines = append(lines, fmt.Sprintf("%s: %s", e.Address, missing))
			}
		}
	}
	for _, refusal := range r.Refusals {
		lines = append(lines, "refused: "+refusal.String())
	}
	return lines
}

// A node that says of another's pod where it serves is not believed.
func TestRedirectByAnotherNode(t *testing.T) {
	s := web()
	s.Ports, s.ClusterIPs, s.ExternalIPs, s.LoadBalancerIPs = s.Ports[:1], s.ClusterIPs[:1], nil, nil
	for node, isLeft := range map[string]bool{"there": false, "": false, "here": true} {
		f := plan.ServiceFacts{Service: s, Slices: []model.EndpointSlice{slice("here", node)}, Redirect: toTap}
		if r := (plan.Services{Node: "here"}).Resolve(f); (r.Left != "") != isLeft {
			t.Errorf("pod on %q, node there tells of it: left %q", node, r.Left)
		}
	}
}

func TestResolve(t *testing.T) {
	with := func(change func(*model.Service)) model.Service {
		s := web()
		s.Ports, s.ClusterIPs = s.Ports[:1], s.ClusterIPs[:1]
		s.ExternalIPs, s.LoadBalancerIPs = nil, nil
		change(&s)
		return s
	}
	states := func(states ...string) model.EndpointSlice {
		s := slice("here", "there", "here")
		for i, state := range states {
			e := &s.Endpoints[i]
			e.Ready, e.Serving, e.Terminating = state == "ready", state != "starting", state == "leaving"
		}
		return s
	}
	v6 := model.EndpointSlice{
		Name: "web-6", Service: web().Ref, Ports: slice().Ports,
		Endpoints: []model.Endpoint{{Address: netip.MustParseAddr("fd00:1::2"), Pod: podNumber(2), Node: "there", Ready: true}},
	}
	for _, c := range []struct {
		name    string
		service model.Service
		slices  []model.EndpointSlice
		custom  bool // only what is redirected
		want    []string
	}{
		{
			"everything that a service can have", web(),
			[]model.EndpointSlice{slice("here", "there"), v6},
			true,
			[]string{
				"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 external 192.0.2.77:80 " +
					"load-balancer 198.51.100.1:80 from 203.0.113.0/24 node-port *:30080 -> 10.1.1.2:8080 (local) -> 10.1.2.3:8080 (of 10.1.2.2)",
				"service shop/web:http TCP IPv6 cluster [fd00:96::a]:80 node-port *:30080",
				"fd00:1::2: interface tap1 has no address of the family of fd00:1::2",
				"service shop/web:dns UDP IPv4 cluster 10.96.0.10:53 external 192.0.2.77:53 load-balancer 198.51.100.1:53 from 203.0.113.0/24",
				"service shop/web:dns UDP IPv6 cluster [fd00:96::a]:53",
			},
		},
		{
			"one address by several names", with(func(s *model.Service) {
				s.ExternalIPs = addrs("192.0.2.1", "10.96.0.10", "198.51.100.1", "192.0.2.1")
				s.LoadBalancerIPs = addrs("198.51.100.1", "198.51.100.2", "198.51.100.1")
			}),
			nil, false,
			[]string{"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 external 192.0.2.1:80 " +
				"load-balancer 198.51.100.1:80 from 203.0.113.0/24 load-balancer 198.51.100.2:80 from 203.0.113.0/24 node-port *:30080"},
		},
		{
			"others serve what is not redirected", web(),
			[]model.EndpointSlice{slice("here")},
			true,
			[]string{"left: no endpoint of it is at a custom interface"},
		},
		{
			"headless", with(func(s *model.Service) { s.ClusterIPs = nil }),
			[]model.EndpointSlice{slice("here")},
			false,
			[]string{"left: it has no address of its own (headless, or a name alone)"},
		},
		{
			"no backend", with(func(*model.Service) {}), nil, false,
			[]string{"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 node-port *:30080"},
		},
		{
			"only what is ready", with(func(*model.Service) {}),
			[]model.EndpointSlice{states("ready", "starting", "leaving")},
			false,
			[]string{
				"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 node-port *:30080 -> 10.1.1.2:8080 (local)",
				"10.1.2.3: it is not ready", "10.1.3.2: it is terminating, and others are ready",
			},
		},
		{
			"those that leave, for want of others", with(func(*model.Service) {}),
			[]model.EndpointSlice{states("leaving", "starting", "leaving")},
			false,
			[]string{
				"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 node-port *:30080 -> 10.1.1.2:8080 (local) -> 10.1.3.2:8080 (local)",
				"10.1.2.3: it is not ready",
			},
		},
		{
			"those that leave, where none here stays", with(func(s *model.Service) { s.ExternalLocal = true }),
			[]model.EndpointSlice{states("leaving", "ready", "leaving")},
			false,
			[]string{"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 node-port *:30080 local -> 10.1.2.3:8080 (of 10.1.2.2)" +
				" -> 10.1.1.2:8080 (local) (leaving) -> 10.1.3.2:8080 (local) (leaving)"},
		},
		{
			"those that leave, where one here stays", with(func(s *model.Service) { s.InternalLocal = true }),
			[]model.EndpointSlice{states("leaving", "ready", "ready")},
			false,
			[]string{
				"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 local node-port *:30080 -> 10.1.2.3:8080 (of 10.1.2.2) -> 10.1.3.2:8080 (local)",
				"10.1.1.2: it is terminating, and others are ready",
			},
		},
		{
			"those that leave elsewhere", with(func(s *model.Service) { s.InternalLocal = true }),
			[]model.EndpointSlice{states("ready", "leaving", "starting")},
			false,
			[]string{
				"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 local node-port *:30080 -> 10.1.1.2:8080 (local)",
				"10.1.2.3: it is terminating, and others are ready", "10.1.3.2: it is not ready",
			},
		},
		{
			"an endpoint in two slices", with(func(*model.Service) {}),
			[]model.EndpointSlice{states("starting"), slice("here")},
			false,
			[]string{"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 node-port *:30080 -> 10.1.1.2:8080 (local) -> 10.1.2.3:8080 (of 10.1.2.2) -> 10.1.3.2:8080 (local)"},
		},
		{
			"policies and affinity", with(func(s *model.Service) { s.InternalLocal, s.ExternalLocal, s.Affinity = true, true, 60 }),
			[]model.EndpointSlice{slice("here")},
			false,
			[]string{"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 local node-port *:30080 local -> 10.1.1.2:8080 (local) affinity 60s"},
		},
		{
			"sources of the other family", with(func(s *model.Service) {
				s.LoadBalancerIPs, s.LoadBalancerSources = addrs("198.51.100.1"), []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
			}), nil, false,
			[]string{"service shop/web:http TCP IPv4 cluster 10.96.0.10:80 node-port *:30080"},
		},
		{
			"a protocol that is none", with(func(s *model.Service) { s.Ports[0].Protocol = "ICMP" }), nil, false,
			[]string{"refused: port http (80/ICMP): protocol ICMP is not served (TCP, UDP and SCTP are)"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := plan.Services{Node: "here", All: !c.custom}.Resolve(plan.ServiceFacts{Service: c.service, Slices: c.slices, Redirect: toTap})
			if diff := cmp.Diff(c.want, shown(r)); diff != "" {
				t.Errorf("resolved (-want +got):\n%s", diff)
			}
		})
	}
}

// What another service has already is left out, and the rest is served.
func TestResolveWhatIsTaken(t *testing.T) {
	other := model.ServiceRef{Namespace: "shop", Name: "older"}
	facts := plan.ServiceFacts{Service: web(), Slices: []model.EndpointSlice{slice("here")}}
	facts.Holder = func(c plan.FrontendClaim) model.ServiceRef {
		if c.Port == 30080 && !c.IPv6 || c.Address == netip.MustParseAddr("192.0.2.77") && c.Protocol == model.UDP {
			return other
		}
		return web().Ref
	}
	got := strings.Join(shown(plan.Services{Node: "here", All: true}.Resolve(facts)), "\n")
	for _, line := range []string{
		"service shop/web:http TCP IPv6 cluster [fd00:96::a]:80 node-port *:30080",
		"external 192.0.2.77:80",
		"refused: node port 30080/TCP: service shop/older has it already; choose another",
		"refused: 192.0.2.77:53/UDP: service shop/older has it already; choose another",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is not in\n%s", line, got)
		}
	}
	if strings.Contains(got, "external 192.0.2.77:53") {
		t.Errorf("what another has is served:\n%s", got)
	}
}

// What the switch cannot serve is refused in its words, once for both families, and the rest is served.
func TestResolveWhatTheSwitchCannot(t *testing.T) {
	facts := plan.ServiceFacts{Service: web(), Unserved: func(s desired.Service) error {
		if s.Key.Protocol == model.UDP {
			return errors.New("this switch serves TCP alone")
		}
		return nil
	}}
	r := plan.Services{All: true}.Resolve(facts)
	if len(r.Made()) != 2 || len(r.Refusals) != 1 || r.Refusals[0].String() != "port dns (53/UDP): this switch serves TCP alone" {
		t.Errorf("made %v, refused %v", r.Made(), r.Refusals)
	}
}

// As many addresses as an object of the API server can have cost what they are worth:
// somebody who may make a service does not hold up those of others.
func TestManyExternalAddresses(t *testing.T) {
	const count = 100_000
	s := web()
	s.ExternalIPs = nil
	for n := range count {
		s.ExternalIPs = append(s.ExternalIPs, netip.AddrFrom4([4]byte{192, byte(n >> 16), byte(n >> 8), byte(n)}))
	}
	s.ExternalIPs = append(s.ExternalIPs, s.ExternalIPs[0])
	began := time.Now()
	claims := plan.ClaimsOf(s)
	refused := plan.Services{All: true}.Resolve(plan.ServiceFacts{Service: s, Holder: func(c plan.FrontendClaim) model.ServiceRef {
		if c.Address.Is4() && c.Address.As4()[0] == 192 {
			return model.ServiceRef{Namespace: "shop", Name: "older"}
		}
		return s.Ref
	}}).Refusals
	if len(refused) != len(s.Ports)*count {
		t.Errorf("%d refusals, want one for each address and port", len(refused))
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	ofCluster := len(s.Ports) * len(s.ClusterIPs)
	ofBalancer, ofNode := len(s.Ports), 2 // one port, in both families
	if want := len(s.Ports)*count + ofCluster + ofBalancer + ofNode; len(claims) != want {
		t.Errorf("%d claims, want %d", len(claims), want)
	}
}

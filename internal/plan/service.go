// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Services is how a node resolves services.
type Services struct {
	// Node is the node's name.
	Node string
	// All has every service served; without it only those of which an endpoint is
	// redirected, which others cannot know.
	All bool
}

// ServiceFacts is all that one service depends on.
type ServiceFacts struct {
	Service model.Service
	Slices  []model.EndpointSlice
	// Redirect finds where the pod of an endpoint serves, if not at its main
	// interface; nil where no pod of the cluster does.
	Redirect func(model.PodRef) (model.Redirect, bool)
	// Holder is the service that has a frontend to itself. Nil is: whoever asks.
	Holder func(FrontendClaim) model.ServiceRef
	// Unserved says why the switch cannot serve a service; nil where it can serve
	// every one.
	Unserved func(desired.Service) error
}

// ResolvedService is what a service comes to on a node.
type ResolvedService struct {
	Ref model.ServiceRef
	UID string
	// Left says why the service is left to others; empty where it is served.
	Left string
	// Ports has one element for each port and family of the service, in their
	// order.
	Ports []ResolvedPort
	// Refusals are what is not done of it, and why.
	Refusals []ServiceRefusal
}

// IsHere reports whether an endpoint of the service is on this node.
func (r ResolvedService) IsHere() bool {
	return slices.ContainsFunc(r.Ports, func(p ResolvedPort) bool {
		return slices.ContainsFunc(p.Endpoints, func(e ResolvedEndpoint) bool { return e.Local })
	})
}

// ResolvedPort is one port of a service in one family.
type ResolvedPort struct {
	// Made is what the switch gets; it has frontends only where Refused is empty.
	Made desired.Service
	// Refused says why the port is not served.
	Refused   string
	Endpoints []ResolvedEndpoint
}

// ResolvedEndpoint is an endpoint, and what became of it. There may be ten thousand:
// what people read of it is made when they do.
type ResolvedEndpoint struct {
	desired.Backend
	// Endpoint is as the cluster has it.
	Endpoint *model.Endpoint
	// Interface is the custom interface that Address is of; empty for the pod's
	// main one, and where the endpoint is no pod's.
	Interface string

	rank rank
	// isOutdone says that there are better ones.
	isOutdone bool
}

// Missing says why an endpoint is no backend; empty where it is one.
func (e ResolvedEndpoint) Missing() string {
	switch {
	case e.rank == rankNoAddress:
		return fmt.Sprintf("interface %s has no address of the family of %s", e.Interface, e.Address)
	case e.rank == rankNone:
		return "it is not ready"
	case e.isOutdone:
		return "it is terminating, and others are ready"
	default:
		return ""
	}
}

// ServiceRefusal is a part of a service that is not served.
type ServiceRefusal struct {
	// What is the part: a port or a frontend, as people write it.
	What, Reason string
}

// String is one sentence.
func (r ServiceRefusal) String() string { return r.What + ": " + r.Reason }

// rank orders endpoints by how good a backend they are.
type rank uint8

const (
	rankReady   rank = iota
	rankLeaving      // serving, and on its way out
	rankNone
	rankNoAddress
)

// Resolve decides one service. The cost is that of its own endpoints.
func (n Services) Resolve(f ServiceFacts) ResolvedService {
	r := ResolvedService{Ref: f.Service.Ref, UID: f.Service.UID}
	if f.Service.Headless() {
		r.Left = "it has no address of its own (headless, or a name alone)"
		return r
	}
	if !n.All && !f.redirected() {
		r.Left = "no endpoint of it is at a custom interface"
	}
	told := map[ServiceRefusal]bool{}
	for _, port := range f.Service.Ports {
		for _, clusterIP := range f.Service.ClusterIPs {
			p := n.port(f, port, clusterIP)
			if r.Left == "" {
				r.refuse(f.frontends(&p, port, clusterIP), told)
			}
			r.Ports = append(r.Ports, p)
		}
	}
	return r
}

// refuse adds refusals; what holds in both families is told once.
func (r *ResolvedService) refuse(refusals []ServiceRefusal, told map[ServiceRefusal]bool) {
	for _, refusal := range refusals {
		if !told[refusal] {
			told[refusal] = true
			r.Refusals = append(r.Refusals, refusal)
		}
	}
}

// Made lists what the switch gets.
func (r ResolvedService) Made() []desired.Service {
	var list []desired.Service
	for _, p := range r.Ports {
		if len(p.Made.Frontends) > 0 {
			list = append(list, p.Made)
		}
	}
	return list
}

func (f ServiceFacts) redirected() bool {
	if f.Redirect == nil {
		return false
	}
	for _, s := range f.Slices {
		for _, e := range s.Endpoints {
			if _, ok := f.redirect(e); ok {
				return true
			}
		}
	}
	return false
}

// redirect is where the pod of an endpoint serves. A node is not believed what it
// says of a pod that is on another.
func (f ServiceFacts) redirect(e model.Endpoint) (model.Redirect, bool) {
	to, ok := f.Redirect(e.Pod)
	if !ok || to.Node != "" && e.Node != "" && to.Node != e.Node {
		return model.Redirect{}, false
	}
	return to, true
}

// port resolves the endpoints of one port in the family of an address.
func (n Services) port(f ServiceFacts, port model.ServicePort, family netip.Addr) ResolvedPort {
	p := ResolvedPort{Made: desired.Service{
		Key: desired.ServiceKey{
			Service: f.Service.Ref, Port: port.Name, Protocol: port.Protocol, IPv6: family.Is6(),
		},
		Affinity: f.Service.Affinity,
	}}
	p.Endpoints = n.endpoints(f, port, family.Is6())
	best, used := rankNone, 0
	for i := range p.Endpoints {
		switch r := p.Endpoints[i].rank; {
		case r < best:
			best, used = r, 1
		case r == best:
			used++
		}
	}
	if best == rankNone {
		return p
	}
	p.Made.Backends = make([]desired.Backend, 0, used)
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; e.rank == best {
			p.Made.Backends = append(p.Made.Backends, e.Backend)
		} else {
			e.isOutdone = true
		}
	}
	return p
}

// useLeaving has frontends that are served by this node alone served by what is on
// its way out, where nothing better is here, whatever is elsewhere: a load balancer
// sends here until it has noticed. kube-proxy does the same (CategorizeEndpoints in
// pkg/proxy/topology.go; KEP-1669).
func (p *ResolvedPort) useLeaving() {
	if !p.Made.HasLocal() || slices.ContainsFunc(p.Made.Backends, func(b desired.Backend) bool { return b.Local }) {
		return
	}
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; e.rank == rankLeaving && e.Local {
			e.isOutdone = false
			p.Made.Leaving = append(p.Made.Leaving, e.Backend)
		}
	}
}

// endpoints lists every endpoint of one family once, in the order of the slices.
func (n Services) endpoints(f ServiceFacts, port model.ServicePort, isIPv6 bool) []ResolvedEndpoint { //nolint:revive // a family is one of two
	total := 0
	for _, s := range f.Slices {
		total += len(s.Endpoints)
	}
	list := make([]ResolvedEndpoint, 0, total)
	seen := make(map[spot]int32, total)
	for _, s := range f.Slices {
		at := slices.IndexFunc(s.Ports, func(p model.EndpointPort) bool {
			return p.Name == port.Name && p.Protocol == port.Protocol
		})
		if at < 0 {
			continue
		}
		for i := range s.Endpoints {
			if s.Endpoints[i].Address.Is6() != isIPv6 {
				continue
			}
			e := n.endpoint(f, &s.Endpoints[i], s.Ports[at].Port)
			key := spotOf(e.Backend)
			// One that moves from slice to slice is in both for a while: the better counts.
			if known, is := seen[key]; !is {
				seen[key] = int32(len(list))
				list = append(list, e)
			} else if e.rank < list[known].rank {
				list[known] = e
			}
		}
	}
	return list
}

// spot is an address and port as mere bytes: they are hashed in half of the time.
type spot [18]byte

func spotOf(b desired.Backend) spot {
	var s spot
	address := b.Address.As16()
	copy(s[:], address[:])
	s[16], s[17] = byte(b.Port>>8), byte(b.Port)
	return s
}

func (n Services) endpoint(f ServiceFacts, e *model.Endpoint, port uint16) ResolvedEndpoint {
	r := ResolvedEndpoint{
		Backend:  desired.Backend{Address: e.Address, Port: port, Local: e.Node != "" && e.Node == n.Node},
		Endpoint: e, rank: rankNone,
	}
	switch {
	case e.Ready:
		r.rank = rankReady
	case e.Serving && e.Terminating:
		r.rank = rankLeaving
	}
	if f.Redirect == nil {
		return r
	}
	to, ok := f.redirect(*e)
	if !ok {
		return r
	}
	r.Interface = to.Interface
	at := slices.IndexFunc(to.Addresses, func(a netip.Addr) bool { return a.Is6() == e.Address.Is6() })
	if at < 0 {
		r.rank = rankNoAddress
		return r
	}
	r.Address, r.Main = to.Addresses[at], e.Address
	return r
}

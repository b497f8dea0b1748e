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

// FrontendClaim is an address, protocol and port that one service can have. It is
// comparable.
type FrontendClaim struct {
	Protocol model.Protocol
	// Address is the zero value for a port of the node, which is one of IPv6 where
	// IPv6 says so.
	Address netip.Addr
	Port    uint16
	IPv6    bool
}

// String renders the claim: ADDRESS:PORT/PROTOCOL, or node port PORT/PROTOCOL.
func (c FrontendClaim) String() string {
	if !c.Address.IsValid() {
		return fmt.Sprintf("node port %d/%s", c.Port, c.Protocol)
	}
	return netip.AddrPortFrom(c.Address, c.Port).String() + "/" + string(c.Protocol)
}

// ClaimsOf lists what a service asks for, and whether it has a right to it whoever
// else asks: an address that the cluster gave it.
func ClaimsOf(s model.Service) map[FrontendClaim]bool {
	claims := map[FrontendClaim]bool{}
	for _, port := range s.Ports {
		for _, clusterIP := range s.ClusterIPs {
			for _, f := range frontendsOf(s, port, clusterIP) {
				c := claimOf(f, port.Protocol, clusterIP)
				claims[c] = claims[c] || f.Kind == desired.FrontendCluster
			}
		}
	}
	return claims
}

func claimOf(f desired.Frontend, p model.Protocol, family netip.Addr) FrontendClaim {
	return FrontendClaim{Protocol: p, Address: f.Address, Port: f.Port, IPv6: family.Is6()}
}

// frontendsOf lists where a port is asked for in the family of an address.
func frontendsOf(s model.Service, port model.ServicePort, clusterIP netip.Addr) []desired.Frontend {
	list := []desired.Frontend{{
		Kind: desired.FrontendCluster, Address: clusterIP, Port: port.Port, Local: s.InternalLocal,
	}}
	balanced := othersLike(clusterIP, s.LoadBalancerIPs)
	for _, a := range othersLike(clusterIP, s.ExternalIPs) {
		if slices.Contains(balanced, a) {
			continue // the load balancer's sources count
		}
		list = append(list, desired.Frontend{Kind: desired.FrontendExternal, Address: a, Port: port.Port, Local: s.ExternalLocal})
	}
	sources := slices.DeleteFunc(slices.Clone(s.LoadBalancerSources), func(p netip.Prefix) bool { return p.Addr().Is6() != clusterIP.Is6() })
	for _, a := range balanced {
		if len(s.LoadBalancerSources) > 0 && len(sources) == 0 {
			continue // nobody of this family may
		}
		list = append(list, desired.Frontend{
			Kind: desired.FrontendLoadBalancer, Address: a, Port: port.Port, Local: s.ExternalLocal, Sources: sources,
		})
	}
	if port.NodePort != 0 {
		list = append(list, desired.Frontend{Kind: desired.FrontendNode, Port: port.NodePort, Local: s.ExternalLocal})
	}
	return list
}

// othersLike lists the addresses of the family of one, but that one, each once.
func othersLike(one netip.Addr, list []netip.Addr) []netip.Addr {
	if len(list) == 0 {
		return nil
	}
	var others []netip.Addr
	seen := map[netip.Addr]bool{one: true}
	for _, a := range list {
		if a.Is6() == one.Is6() && !seen[a] {
			seen[a] = true
			others = append(others, a)
		}
	}
	return others
}

// frontends gives a resolved port its frontends, and says what of it is refused.
func (f ServiceFacts) frontends(p *ResolvedPort, port model.ServicePort, clusterIP netip.Addr) []ServiceRefusal {
	refuse := func(reason string) []ServiceRefusal {
		p.Refused = reason
		p.Made.Frontends = nil
		return []ServiceRefusal{{What: "port " + portName(port), Reason: reason}}
	}
	if !slices.Contains([]model.Protocol{model.TCP, model.UDP, model.SCTP}, port.Protocol) {
		return refuse(fmt.Sprintf("protocol %s is not served (TCP, UDP and SCTP are)", port.Protocol))
	}
	var refusals []ServiceRefusal
	for _, front := range frontendsOf(f.Service, port, clusterIP) {
		claim := claimOf(front, port.Protocol, clusterIP)
		if f.Holder != nil {
			if holder := f.Holder(claim); holder != f.Service.Ref {
				refusals = append(refusals, ServiceRefusal{
					What: claim.String(), Reason: fmt.Sprintf("service %s has it already; choose another", holder),
				})
				continue
			}
		}
		p.Made.Frontends = append(p.Made.Frontends, front)
	}
	p.useLeaving()
	if f.Unserved != nil && len(p.Made.Frontends) > 0 {
		if err := f.Unserved(p.Made); err != nil {
			return append(refusals, refuse(err.Error())...)
		}
	}
	return refusals
}

func portName(p model.ServicePort) string {
	if p.Name != "" {
		return fmt.Sprintf("%s (%d/%s)", p.Name, p.Port, p.Protocol)
	}
	return fmt.Sprintf("%d/%s", p.Port, p.Protocol)
}

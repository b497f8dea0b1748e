// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/plan"
)

// Services implements inspect.View.
func (a *agent) Services() []inspect.Service {
	if a.services == nil {
		return nil
	}
	failing := a.services.failing()
	var list []inspect.Service
	for _, r := range a.services.resolver.List() {
		shown := inspect.Service{Namespace: r.Ref.Namespace, Name: r.Ref.Name, State: inspect.ServiceServed}
		switch {
		case failing != nil && (r.Left == "" || r.Pending):
			shown.State, shown.Reason = inspect.ServiceFailing, failing.Error()
		case r.Pending:
			shown.State, shown.Reason = inspect.ServicePending, r.Left
		case r.Left != "":
			shown.State, shown.Reason = inspect.ServiceLeft, r.Left
		case len(r.Refusals) > 0:
			shown.State = inspect.ServiceRefused
			shown.Reason = strings.Join(reasons(r.Refusals), "; ")
		}
		for _, p := range r.Ports {
			shown.Ports = append(shown.Ports, portShown(p))
		}
		list = append(list, shown)
	}
	return list
}

func portShown(p plan.ResolvedPort) inspect.ServicePort {
	key := p.Made.Key
	shown := inspect.ServicePort{Name: key.Port, Protocol: key.Protocol, Family: "IPv4", Affinity: p.Made.Affinity}
	if key.IPv6 {
		shown.Family = "IPv6"
	}
	for _, f := range p.Made.Frontends {
		shown.Frontends = append(shown.Frontends, inspect.Frontend{Kind: f.Kind.String(), Address: at(f), Local: f.Local})
	}
	slices.SortFunc(p.Endpoints, func(a, b plan.ResolvedEndpoint) int { return a.Compare(b.Backend) })
	for _, e := range p.Endpoints {
		one := inspect.Endpoint{
			Address: netip.AddrPortFrom(e.Address, e.Port).String(), Node: e.Endpoint.Node, Interface: e.Interface,
			Reason: cmp.Or(e.Missing(), p.Refused),
		}
		one.Used = one.Reason == ""
		if e.Endpoint.Pod.Known() {
			one.Pod = e.Endpoint.Pod.String()
		}
		shown.Endpoints = append(shown.Endpoints, one)
	}
	return shown
}

func at(f desired.Frontend) string {
	if f.Kind == desired.FrontendNode {
		return fmt.Sprintf("*:%d", f.Port)
	}
	return netip.AddrPortFrom(f.Address, f.Port).String()
}

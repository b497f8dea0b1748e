// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// world is what a resolver was told.
type world struct {
	services  map[model.ServiceRef]model.Service
	slices    map[model.SliceName]model.EndpointSlice
	redirects map[string]model.Redirect
}

// afresh is what comes of it where all is told at once.
func (w world) afresh(node plan.Services) map[desired.ServiceKey]desired.Service {
	r := newResolver(node, nil)
	for _, s := range w.services {
		r.putService(s)
	}
	for name, s := range w.slices {
		r.putSlice(name, s)
	}
	for source, to := range w.redirects {
		r.putRedirect(source, to)
	}
	r.take()
	all := map[desired.ServiceKey]desired.Service{}
	for s := range r.all() {
		all[s.Key] = s
	}
	return all
}

// Whatever changes in whatever order, what was put and what is gone come to what
// would have come of all at once.
func TestChangesComeToTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := plan.Services{Node: "here", All: rapid.Bool().Draw(t, "all")}
		r := newResolver(node, nil)
		w := world{map[model.ServiceRef]model.Service{}, map[model.SliceName]model.EndpointSlice{}, map[string]model.Redirect{}}
		has := map[desired.ServiceKey]desired.Service{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			step(t, r, w)
			if rapid.IntRange(0, 2).Draw(t, "later") > 0 {
				continue
			}
			c := r.take()
			maps.Copy(has, c.put)
			for key := range c.gone {
				delete(has, key)
			}
			if diff := cmp.Diff(texts(w.afresh(node)), texts(has)); diff != "" {
				t.Fatalf("(-at once +step by step):\n%s", diff)
			}
		}
	})
}

func step(t *rapid.T, r *resolver, w world) {
	number := func(name string) int { return rapid.IntRange(0, 3).Draw(t, name) }
	ref := model.ServiceRef{Namespace: "shop", Name: fmt.Sprint(number("service"))}
	name := model.SliceName{Namespace: "shop", Name: fmt.Sprint(number("slice"))}
	pod := model.PodRef{Namespace: "shop", UID: fmt.Sprint(number("pod"))}
	source := fmt.Sprint(pod.UID, "/", number("source"))
	switch rapid.SampledFrom([]string{"service", "-service", "slice", "-slice", "redirect", "-redirect"}).Draw(t, "step") {
	case "service":
		s := model.Service{Ref: ref, Created: int64(number("created")), Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}}}
		s.ClusterIPs = []netip.Addr{netip.MustParseAddr("10.96.0.1" + ref.Name)}
		s.ExternalIPs = []netip.Addr{netip.MustParseAddr(fmt.Sprint("192.0.2.", number("external")))}
		w.services[ref] = s
		r.putService(s)
	case "-service":
		delete(w.services, ref)
		r.deleteService(ref)
	case "slice":
		s := model.EndpointSlice{Name: name.Name, Service: ref, Ports: []model.EndpointPort{{Protocol: model.TCP, Port: 8080}}}
		for n := range number("endpoints") {
			s.Endpoints = append(s.Endpoints, model.Endpoint{
				Address: netip.MustParseAddr(fmt.Sprint("10.1.0.", n)), Ready: rapid.Bool().Draw(t, "ready"),
				Pod: model.PodRef{Namespace: "shop", UID: fmt.Sprint(n)},
			})
		}
		w.slices[name] = s
		r.putSlice(name, s)
	case "-slice":
		delete(w.slices, name)
		r.deleteSlice(name)
	case "redirect":
		to := model.Redirect{Pod: pod, Interface: "tap1", Addresses: []netip.Addr{netip.MustParseAddr("10.2.0." + pod.UID)}}
		w.redirects[source] = to
		r.putRedirect(source, to)
	default:
		delete(w.redirects, source)
		r.deleteRedirect(source, pod)
	}
}

func texts(made map[desired.ServiceKey]desired.Service) map[string]bool {
	all := map[string]bool{}
	for _, s := range made {
		all[s.String()] = true
	}
	return all
}

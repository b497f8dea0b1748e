// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/services"
	"github.com/polynic/polynic/test/figure"
)

// sliceSize is how many endpoints a slice has at most in a cluster.
const sliceSize = 100

// resolving is a node whose agent resolves services: what comes from the cluster
// ends in the node's table.
type resolving struct {
	servicesNode
	resolver *services.Resolver
	done     chan struct{}
}

func newResolving(t *testing.T, name string) *resolving {
	t.Helper()
	r := &resolving{servicesNode: newServicesNode(t, space(t, freshName(name))), done: make(chan struct{}, 1)}
	r.resolver = services.New(services.Config{
		Log: slog.New(slog.DiscardHandler), Driver: r, Node: plan.Services{Node: "here", All: true}, RepairInterval: time.Hour,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.resolver.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// ApplyServices implements dataplane.Services, as do the other methods.
func (r *resolving) ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	err := r.node.Do(func() error { return r.table.ApplyServices(ctx, put, gone) })
	r.done <- struct{}{}
	return err
}

func (r *resolving) ObserveServices(ctx context.Context) (found map[desired.ServiceKey]desired.Service, err error) {
	err = r.node.Do(func() error {
		found, err = r.table.ObserveServices(ctx)
		return err
	})
	return found, err
}

func (r *resolving) RemoveServices(ctx context.Context) error {
	return r.node.Do(func() error { return r.table.RemoveServices(ctx) })
}

// fill makes services of some endpoints each, and waits until they are resolved.
func (r *resolving) fill(count, endpoints int) time.Duration {
	begin := time.Now()
	for n := range count {
		for first := 0; first < endpoints; first += sliceSize {
			r.resolver.PutSlice(endpointSlice(n, n*endpoints+first, min(sliceSize, endpoints-first)))
		}
		r.resolver.PutService(model.Service{
			Ref: serviceRef(n), ClusterIPs: []netip.Addr{serviceAddress(n)},
			Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80}},
		})
	}
	r.resolver.Synced()
	<-r.done
	return time.Since(begin)
}

// change tells of a service's first slice with another number of endpoints, and
// waits until the node resolves by it.
func (r *resolving) change(service, first, endpoints int) time.Duration {
	begin := time.Now()
	r.resolver.PutSlice(endpointSlice(service, first, endpoints))
	<-r.done
	return time.Since(begin)
}

func serviceRef(n int) model.ServiceRef {
	return model.ServiceRef{Namespace: "default", Name: fmt.Sprintf("service-%d", n)}
}

func endpointSlice(service, first, count int) (model.SliceName, model.EndpointSlice) {
	name := fmt.Sprintf("%s-%d", serviceRef(service).Name, first)
	s := model.EndpointSlice{
		Name: name, Service: serviceRef(service),
		Ports: []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: servedPort}},
	}
	for i, b := range backendsOf(first, count) {
		s.Endpoints = append(s.Endpoints, model.Endpoint{
			Address: b.Address, Pod: model.PodRef{Namespace: "default", Name: name, UID: fmt.Sprint(first + i)}, Node: "here", Ready: true,
		})
	}
	return model.SliceName{Namespace: "default", Name: name}, s
}

// endpointChanges is the whole way of an endpoint, from its slice to the kernel.
func endpointChanges(t *testing.T, s *sheet) {
	t.Helper()
	few, many, big := newResolving(t, "few"), newResolving(t, "many"), newResolving(t, "big")
	few.fill(1, fewBackends)
	s.Value(fmt.Sprintf("P11 %d services of %d endpoints, from slices", manyServices, fewBackends), milliseconds(many.fill(manyServices, fewBackends)), " ms", figure.Goal{})
	big.fill(1, manyBackends)
	arms := []*figure.Arm{{Name: "among 10"}, {Name: "among 10,000"}, {Name: "among 10,000 of one service"}}
	for i := range 4 * s.pairs {
		arms[0].Took(few.change(0, 0, fewBackends-1+i%2))
		arms[1].Took(many.change(manyServices/2, manyServices/2*fewBackends, fewBackends-1+i%2))
		arms[2].Took(big.change(0, 0, sliceSize-1+i%2))
	}
	for _, a := range arms[1:] {
		s.Value("P11 one changed slice "+a.Name+" endpoints, to the kernel, beyond one among 10", a.Median()-arms[0].Median(), " ms", figure.AtMost(10))
		s.Note("min/med/max ms: %s, %s; n=%d", a, arms[0], len(a.Values))
	}
}

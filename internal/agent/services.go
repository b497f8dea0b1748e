// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/services"
	"github.com/polynic/polynic/internal/watch"
)

// serving has Kubernetes services resolved: it connects their source, this node's
// pods that serve at a custom interface, and the dataplane.
type serving struct {
	*agent
	resolver  *services.Resolver
	publisher *services.Publisher // nil where there is no cluster to tell
	changed   chan struct{}       // one token: attachments have changed

	mu sync.Mutex
	// away is why the API server does not give a kind of object.
	away map[string]error
}

// newServing is nil where no services are to be resolved, or the dataplane resolves
// none.
func newServing(a *agent) *serving {
	mode, driver := a.Config.ServiceMode(), a.plane.services()
	if mode == config.ServicesOff {
		return nil
	}
	if driver == nil {
		if a.Config.Services.Mode != "" {
			a.Log.Warn("this dataplane resolves no services: services.mode has no effect", slog.String("dataplane", a.Config.Dataplane))
		}
		return nil
	}
	s := &serving{agent: a, changed: make(chan struct{}, 1), away: map[string]error{}}
	s.resolver = services.New(services.Config{
		Log: a.Log, Driver: driver, RepairInterval: a.Config.RepairInterval.Duration,
		Node:    plan.Services{Node: a.Config.NodeName, All: mode == config.ServicesAll},
		Refused: s.refused,
	})
	if a.cluster != nil {
		s.publisher = services.NewPublisher(a.Log, a.cluster.source, a.Config.NodeName)
	}
	a.inventory.OnAttachments(func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	})
	return s
}

// run works until ctx ends. What was made stays.
func (s *serving) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	known := s.tellLocal(nil) // before the source says that this is all
	group.Go(func() error { return s.resolver.Run(ctx) })
	group.Go(func() error {
		return s.source.RunServices(ctx, told{s.resolver, s.publisher}, watch.ServiceOptions{
			Needed: s.resolver.Needed(), Reached: s.reached,
		})
	})
	group.Go(func() error { return s.followAttachments(ctx, known) })
	if s.publisher != nil {
		group.Go(func() error { return s.publisher.Run(ctx) })
	}
	return group.Wait()
}

// followAttachments tells where the pods of this node serve, whenever that may have
// changed; known is what was told.
func (s *serving) followAttachments(ctx context.Context, known map[string]model.Redirect) error {
	// The cluster's UID of a pod that kubelet has from a file comes with its pod.
	again := time.NewTicker(s.Config.RepairInterval.Duration)
	defer again.Stop()
	synced := s.inventory.PodsSynced()
	for {
		select {
		case <-s.changed:
		case <-again.C:
		case <-synced:
			synced = nil
		case <-ctx.Done():
			return nil
		}
		known = s.tellLocal(known)
		if s.publisher != nil && synced == nil {
			s.publisher.SetLocal(slices.Collect(maps.Values(known)))
		}
	}
}

// tellLocal tells where the pods of this node serve now, and gives that.
func (s *serving) tellLocal(known map[string]model.Redirect) map[string]model.Redirect {
	now := s.local()
	for _, source := range slices.Sorted(maps.Keys(known)) {
		if to, still := now[source]; !still || to.Pod != known[source].Pod {
			s.resolver.DeleteRedirect(source, known[source].Pod)
		}
	}
	for source, to := range now {
		s.resolver.PutRedirect(source, to)
	}
	return now
}

// local is where the pods of this node serve, by the sources' names.
func (s *serving) local() map[string]model.Redirect {
	found := map[string]model.Redirect{}
	for _, att := range s.inventory.Attachments() {
		at := slices.IndexFunc(att.Interfaces, func(i model.Interface) bool { return i.ServiceEndpoint })
		if at < 0 || att.Leaving {
			continue
		}
		pod := att.Pod
		if known, ok := s.inventory.Pod(pod); ok && (pod.UID == "" || pod.UID == known.Ref.UID) {
			pod.UID = known.Ref.UID
			if known.ObjectUID != "" {
				pod.UID = known.ObjectUID
			}
		}
		if pod.UID == "" {
			continue
		}
		i := att.Interfaces[at]
		found[services.LocalSource(att.ID)] = model.Redirect{
			Pod: pod, Interface: i.Name, Addresses: i.Addresses, Node: s.Config.NodeName,
		}
	}
	return found
}

// refused tells the author of a service what of it is not served. Of all nodes
// those tell that have a backend of it: the others say the same.
func (s *serving) refused(r plan.ResolvedService) {
	isHere := r.IsHere()
	for _, reason := range reasons(r.Refusals) {
		s.Log.Warn("a part of a service is not served", slog.String("service", r.Ref.String()), slog.String("reason", reason))
		if s.reporter != nil && isHere {
			s.reporter.ServiceRefused(r.Ref, r.UID, reason)
		}
	}
}

// maxReasons bounds what is told of one service: a part is refused for each of its
// addresses and ports, of which there may be tens of thousands.
const maxReasons = 16

// reasons are why parts of a service are not served.
func reasons(all []plan.ServiceRefusal) []string {
	var list []string
	for i, refusal := range all {
		if i == maxReasons {
			return append(list, fmt.Sprintf("%d parts more are refused", len(all)-i))
		}
		list = append(list, refusal.String())
	}
	return list
}

// reached is told whether the API server gives a kind of object.
func (s *serving) reached(kind string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch was := s.away[kind]; {
	case err != nil && was == nil:
		s.Log.Warn("services stay as they are: the API server does not give what they depend on",
			slog.String("kind", kind), slog.Any("error", err))
	case err == nil && was != nil:
		s.Log.Info("services are followed again", slog.String("kind", kind))
	}
	s.away[kind] = err
}

// failing is what is wrong with all services; nil where nothing is, and where none
// are resolved.
func (s *serving) failing() error {
	if s == nil {
		return nil
	}
	return s.resolver.Failing()
}

// watched is a driver of which services hear too when it may have changed.
func (s *serving) watched(driver dataplane.Driver) dataplane.Driver {
	if s == nil {
		return driver
	}
	return overheard{driver, func(h dataplane.Hit) {
		if h.Services || h.All && h.Away == nil {
			s.resolver.Recheck()
		}
	}}
}

// overheard is a driver that has somebody else told of what it reports.
type overheard struct {
	dataplane.Driver
	also func(dataplane.Hit)
}

// Watch implements dataplane.Driver.
func (o overheard) Watch(ctx context.Context, tell func(dataplane.Hit)) error {
	return o.Driver.Watch(ctx, func(h dataplane.Hit) {
		o.also(h)
		tell(h)
	})
}

// told is a sink of services of which the publisher hears what the cluster has.
type told struct {
	*services.Resolver
	publisher *services.Publisher
}

// PutRedirect implements watch.ServiceSink, as does DeleteRedirect.
func (t told) PutRedirect(source string, to model.Redirect) {
	if t.publisher != nil {
		t.publisher.Has(source, to)
	}
	t.Resolver.PutRedirect(source, to)
}

func (t told) DeleteRedirect(source string, pod model.PodRef) {
	if t.publisher != nil {
		t.publisher.HasNot(source)
	}
	t.Resolver.DeleteRedirect(source, pod)
}

// removeServices takes away what an agent with other settings made.
func (a *agent) removeServices(ctx context.Context) error {
	driver := a.plane.services()
	if driver == nil {
		return nil
	}
	again := time.NewTicker(a.Config.RepairInterval.Duration)
	defer again.Stop()
	said := ""
	for {
		err := driver.RemoveServices(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if said != err.Error() {
			said = err.Error()
			a.Log.WarnContext(ctx, "services of an earlier agent cannot be removed; trying again", slog.Any("error", err))
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

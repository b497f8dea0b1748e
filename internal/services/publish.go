// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/model"
)

// Cluster is by whom other nodes learn where pods serve. Doing again what was done
// is no error. Its methods are called from one goroutine.
type Cluster interface {
	Publish(ctx context.Context, r model.Redirect) error
	Withdraw(ctx context.Context, pod model.PodRef) error
}

const (
	// echoLimit is how long the cluster has to tell what it was told, before it is
	// told again.
	echoLimit = 10 * time.Second
	// firstPublish doubles with each failure in a row, up to lastPublish.
	firstPublish = time.Second
	lastPublish  = 5 * time.Minute
)

// Publisher has other nodes learn where this node's pods serve. What the cluster
// has is compared with what there is here, so that what is told already is not told
// again, and what is wrong is withdrawn. Methods but Run may be called at any time,
// and return at once.
type Publisher struct {
	log     *slog.Logger
	cluster Cluster
	node    string
	wake    chan struct{} // one token: something may have changed

	mu    sync.Mutex
	local map[podKey]model.Redirect // nil until it is known
	// has is what the cluster has of this node, by the name of its source.
	has  map[string]model.Redirect
	told map[podKey]attempt
}

// attempt is what came of telling of a pod.
type attempt struct {
	again    time.Time // when it may be told of again
	failures int       // in a row
}

// NewPublisher makes a Publisher for the node of a name.
func NewPublisher(log *slog.Logger, cluster Cluster, node string) *Publisher {
	return &Publisher{
		log: log, cluster: cluster, node: node, wake: make(chan struct{}, 1),
		has: map[string]model.Redirect{}, told: map[podKey]attempt{},
	}
}

// SetLocal says where the pods of this node serve, all of them.
func (p *Publisher) SetLocal(all []model.Redirect) {
	p.mu.Lock()
	p.local = map[podKey]model.Redirect{}
	for _, r := range all {
		p.local[keyOf(r.Pod)] = r
	}
	p.mu.Unlock()
	notify(p.wake)
}

// Has tells what the cluster has by one of its sources.
func (p *Publisher) Has(source string, r model.Redirect) {
	if r.Node != p.node {
		p.HasNot(source)
		return
	}
	p.mu.Lock()
	p.has[source] = r
	p.mu.Unlock()
	notify(p.wake)
}

// HasNot tells that the cluster has nothing by a source.
func (p *Publisher) HasNot(source string) {
	p.mu.Lock()
	delete(p.has, source)
	p.mu.Unlock()
	notify(p.wake)
}

// Run works until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		p.round(ctx)
		timer := time.NewTimer(p.pause(time.Now()))
		select {
		case <-p.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// round tells the cluster what it does not have. What it refuses of one pod does not
// keep it from learning of others.
func (p *Publisher) round(ctx context.Context) {
	began := time.Now()
	var fresh []error
	for _, n := range p.news(began) {
		if time.Since(began) > echoLimit {
			break // it is slow to answer: what is new comes first again
		}
		err := p.tell(ctx, n)
		if ctx.Err() != nil {
			return
		}
		if p.note(n.pod, err) {
			fresh = append(fresh, err)
		}
	}
	if len(fresh) > 0 {
		p.log.WarnContext(ctx, "other nodes do not learn at which interfaces pods serve; trying again",
			slog.Int("pods", len(fresh)), slog.Any("error", fresh[0]))
	}
}

func (p *Publisher) tell(ctx context.Context, n news) error {
	if n.publish {
		return p.cluster.Publish(ctx, n.redirect)
	}
	return p.cluster.Withdraw(ctx, n.pod)
}

// note keeps when a pod may be told of again; it reports whether that failed for the
// first time.
func (p *Publisher) note(pod model.PodRef, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.told[keyOf(pod)] = attempt{again: time.Now().Add(echoLimit)}
		return false
	}
	failures := p.told[keyOf(pod)].failures
	p.told[keyOf(pod)] = attempt{time.Now().Add(min(firstPublish<<min(failures, 16), lastPublish)), failures + 1}
	return failures == 0
}

// pause is how long there is nothing to tell, if nothing changes.
func (p *Publisher) pause(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := echoLimit
	for _, a := range p.told {
		if wait := a.again.Sub(now); wait > 0 {
			pause = min(pause, wait)
		}
	}
	return pause
}

// news is what there is to tell of a pod.
type news struct {
	pod      model.PodRef
	publish  bool
	redirect model.Redirect
	failures int
}

// news lists what there is to tell, what failed already last. What was told a moment
// ago may be on its way back.
func (p *Publisher) news(now time.Time) []news {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.local == nil {
		return nil
	}
	all, right := map[podKey]news{}, map[podKey]map[string]bool{}
	for _, r := range p.has {
		key := keyOf(r.Pod)
		to, ok := p.local[key]
		if !ok {
			all[key] = news{pod: r.Pod}
			continue
		}
		if right[key] == nil {
			right[key] = map[string]bool{}
		}
		for _, a := range r.Addresses {
			right[key][a.String()] = to.Interface == r.Interface && slices.Contains(to.Addresses, a)
		}
	}
	for key, r := range p.local {
		if slices.ContainsFunc(r.Addresses, func(a netip.Addr) bool { return !right[key][a.String()] }) {
			all[key] = news{pod: r.Pod, publish: true, redirect: r}
		}
	}
	maps.DeleteFunc(p.told, func(key podKey, a attempt) bool {
		_, isWanted := all[key]
		return !now.Before(a.again) && (a.failures == 0 || !isWanted)
	})
	var list []news
	for key, n := range all {
		if a := p.told[key]; !now.Before(a.again) {
			n.failures = a.failures
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b news) int {
		return cmp.Or(cmp.Compare(a.failures, b.failures), strings.Compare(a.pod.UID, b.pod.UID))
	})
	return list
}

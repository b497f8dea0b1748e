// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"log/slog"
	"maps"
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
	has map[string]model.Redirect
	// told is when a pod was told of last.
	told map[podKey]time.Time
}

// NewPublisher makes a Publisher for the node of a name.
func NewPublisher(log *slog.Logger, cluster Cluster, node string) *Publisher {
	return &Publisher{
		log: log, cluster: cluster, node: node, wake: make(chan struct{}, 1),
		has: map[string]model.Redirect{}, told: map[podKey]time.Time{},
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
	failures := 0
	for ctx.Err() == nil {
		err := p.round(ctx)
		pause := echoLimit
		if err != nil && ctx.Err() == nil {
			if failures == 0 {
				p.log.WarnContext(ctx, "other nodes do not learn at which interfaces pods serve; trying again", slog.Any("error", err))
			}
			pause = min(firstPublish<<min(failures, 16), lastPublish)
			failures++
		} else {
			failures = 0
		}
		p.wait(ctx, pause, err)
	}
	return nil
}

// wait waits for a change, or, after a failure, for the time of the next attempt.
func (p *Publisher) wait(ctx context.Context, pause time.Duration, failed error) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-p.wake:
			if failed != nil {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
		}
		return
	}
}

// round tells the cluster what it does not have.
func (p *Publisher) round(ctx context.Context) error {
	publish, withdraw := p.work(time.Now())
	for _, r := range publish {
		if err := p.cluster.Publish(ctx, r); err != nil {
			return err
		}
		p.note(r.Pod)
	}
	for _, pod := range withdraw {
		if err := p.cluster.Withdraw(ctx, pod); err != nil {
			return err
		}
		p.note(pod)
	}
	return nil
}

func (p *Publisher) note(pod model.PodRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[keyOf(pod)] = time.Now()
}

// work is what there is to tell. What was told a moment ago may be on its way back.
func (p *Publisher) work(now time.Time) (publish []model.Redirect, withdraw []model.PodRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.told, func(_ podKey, at time.Time) bool { return now.Sub(at) >= echoLimit })
	if p.local == nil {
		return nil, nil
	}
	known := map[podKey]map[string]bool{} // addresses that are right
	gone := map[podKey]model.PodRef{}
	for _, r := range p.has {
		key := keyOf(r.Pod)
		to, ok := p.local[key]
		if !ok {
			gone[key] = r.Pod
			continue
		}
		if known[key] == nil {
			known[key] = map[string]bool{}
		}
		for _, a := range r.Addresses {
			known[key][a.String()] = to.Interface == r.Interface && slices.Contains(to.Addresses, a)
		}
	}
	for key, r := range p.local {
		if _, isRecent := p.told[key]; isRecent {
			continue
		}
		for _, a := range r.Addresses {
			if !known[key][a.String()] {
				publish = append(publish, r)
				break
			}
		}
	}
	for key, pod := range gone {
		if _, isRecent := p.told[key]; !isRecent {
			withdraw = append(withdraw, pod)
		}
	}
	slices.SortFunc(publish, func(a, b model.Redirect) int { return strings.Compare(a.Pod.UID, b.Pod.UID) })
	slices.SortFunc(withdraw, func(a, b model.PodRef) int { return strings.Compare(a.UID, b.UID) })
	return publish, withdraw
}

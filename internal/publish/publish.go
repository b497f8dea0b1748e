// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package publish keeps, in etcd, what the agents in the pods must know. Owners
// say what they claim; the publisher writes it, repairs what others alter, and
// removes it when the owner goes, however long etcd is away meanwhile.
//
// All state is per claim, and one goroutine at a time works on a claim. The store
// decides by what etcd has, so that whatever was done before, by this process or
// an earlier one, an attempt is only ever the difference.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/publish/store"
)

// ErrStopped is returned to those who wait when the publisher stops.
var ErrStopped = errors.New("the publisher is stopping")

// errSuperseded is returned to those who wait for a sandbox that another one of
// the same pod replaced.
var errSuperseded = errors.New("another sandbox of the same pod has the label now")

// MaxWait is how long Publish waits at most.
const MaxWait = 8 * time.Second

// Config is what a publisher works with.
type Config struct {
	Log   *slog.Logger
	Store *store.Store
	// Kind is the kind of every owner here, and Node that of every pod: records of
	// both that nobody claims are removed after Restored. Node is empty for
	// CustomConfigurations.
	Kind store.Kind
	Node string
	// IsAlive is asked about pods that have what a claim wants, but for those of this
	// publisher's kind and node, which it knows itself: once Restored. It may be asked
	// by several goroutines. Without it all are taken for alive.
	IsAlive store.Alive
	// Problem is told, by one goroutine, of an owner whose claim can not be written
	// for a reason that is the claim's, once for each reason, and with nil when it
	// was written after that. What Publish returned it is not told. Not told either
	// is that etcd is away, which is no pod's fault; see Away. It may be nil.
	Problem func(store.Owner, error)
	// LookInterval is how often it is looked whether etcd lost its data,
	// CompareInterval how often everything is compared; 0 for 10 s and 5 min.
	LookInterval, CompareInterval time.Duration
}

const (
	defaultLook    = 10 * time.Second
	defaultCompare = 5 * time.Minute
)

// Publisher is safe for concurrent use. Run must be running for anything to
// happen.
type Publisher struct {
	config Config
	wake   chan struct{} // one token: there may be work
	glance chan struct{} // one token: look at once
	tell   chan struct{} // one token: there are problems
	parts  sync.WaitGroup

	mu      sync.Mutex
	entries map[store.Ref]*entry
	// kept are owners that live and of which it is not known what they claim, and why:
	// what etcd has of them is not touched.
	kept map[store.Ref]error
	busy int // how many are worked on
	away away
	// answered is set once etcd has answered.
	answered bool
	// watchDue is when those that are written and not watched will be; zero while
	// there are none.
	watchDue time.Time
	problems []problem
	// restored is set once every claim is known; prune while it is to be looked what
	// etcd has beside.
	restored, prune bool
	broken          string // what was said last of records that cannot be read
	stopped         bool
}

// New makes a publisher. Nothing happens before Run.
func New(config Config) *Publisher {
	if config.LookInterval <= 0 {
		config.LookInterval = defaultLook
	}
	if config.CompareInterval <= 0 {
		config.CompareInterval = defaultCompare
	}
	return &Publisher{
		config:  config,
		wake:    make(chan struct{}, 1),
		glance:  make(chan struct{}, 1),
		tell:    make(chan struct{}, 1),
		entries: map[store.Ref]*entry{},
		kept:    map[store.Ref]error{},
	}
}

// Publish claims, and waits until that is in etcd, or can not be; at most
// MaxWait, and while ctx lives. While etcd is away it is tried again as long as
// that; where etcd has been away for longer already, one failure is enough. The
// error is a *store.TakenError, or another of the store's, with the reason; the
// claim stays and is tried again until it is withdrawn. Of a pod one sandbox has a
// label: a later claim replaces that of an earlier one.
func (p *Publisher) Publish(ctx context.Context, c store.Claim) error {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return ErrStopped
	}
	e := p.set(c)
	w := waiter{asked: e.asked, since: time.Now(), ready: make(chan error, 1)}
	e.waiters = append(e.waiters, w)
	p.away.retry = time.Time{} // somebody waits
	p.mu.Unlock()
	notify(p.wake)

	limit := time.NewTimer(MaxWait)
	defer limit.Stop()
	select {
	case err := <-w.ready:
		return err
	case <-limit.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e.waiters = slices.DeleteFunc(e.waiters, func(o waiter) bool { return o.ready == w.ready })
	err := p.trouble(e)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("waiting for etcd: %w", ctx.Err())
	case err != nil:
		return err
	default:
		return fmt.Errorf("publish %s: %w: it was not done within %v", store.ConfigPrefix(c.Label), store.ErrAway, time.Since(w.since).Round(time.Second))
	}
}

// Set claims without waiting: at start, what was claimed before. A claim replaces
// an earlier one of the same Ref.
func (p *Publisher) Set(c store.Claim) {
	p.mu.Lock()
	p.set(c)
	p.mu.Unlock()
	notify(p.wake)
}

// Keep says at start that somebody lives who claimed something before, and why it
// is not known any more what: what etcd has of it stays as it is until it is
// withdrawn. A claim of the same Ref replaces that.
func (p *Publisher) Keep(ref store.Ref, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[ref] = why
}

// Restored says that every claim of before the start was Set or Kept, or is gone:
// what etcd has of this kind and node beside is removed, as soon as etcd is there.
func (p *Publisher) Restored() {
	p.mu.Lock()
	p.restored, p.prune = true, true
	p.mu.Unlock()
	notify(p.glance)
	notify(p.wake)
}

// Withdraw gives a claim up and does not wait: its keys go as soon as etcd is
// there. One that is not known is nothing.
func (p *Publisher) Withdraw(ref store.Ref) {
	p.mu.Lock()
	if e := p.entries[ref]; e != nil {
		p.giveUp(e, ErrWithdrawn)
	}
	if p.kept[ref] != nil {
		delete(p.kept, ref)
		p.prune = true // by its record it is found
		notify(p.glance)
	}
	p.mu.Unlock()
	notify(p.wake)
}

// ErrWithdrawn is returned to those who wait for a claim that is given up.
var ErrWithdrawn = errors.New("the claim was withdrawn")

// Gone waits until nothing of a claim that was withdrawn is in etcd, or ctx ends,
// or the publisher. It returns at once for one that is not known.
func (p *Publisher) Gone(ctx context.Context, ref store.Ref) error {
	p.mu.Lock()
	e := p.entries[ref]
	if e == nil || p.stopped {
		p.mu.Unlock()
		if e == nil {
			return nil
		}
		return ErrStopped
	}
	ready := make(chan error, 1)
	e.gone = append(e.gone, ready)
	p.mu.Unlock()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		e.gone = slices.DeleteFunc(e.gone, func(o chan error) bool { return o == ready })
		return fmt.Errorf("waiting until the keys of %s are gone: %w", ref, errors.Join(ctx.Err(), p.trouble(e)))
	}
}

// State tells how a claim stands, and why where it is failing, or does not come to
// its end.
func (p *Publisher) State(ref store.Ref) (State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[ref]
	switch {
	case e == nil && p.kept[ref] != nil:
		return Failing, p.kept[ref]
	case e == nil:
		return Absent, nil
	case !e.wanted:
		return Leaving, p.trouble(e)
	case e.err != nil:
		return Failing, e.err
	case e.mark == nil && p.away.reason != nil:
		return Failing, p.away.reason
	case e.mark == nil:
		return Pending, nil
	default:
		return Published, nil
	}
}

// trouble is what is known to keep an entry from its end. The caller holds p.mu.
func (p *Publisher) trouble(e *entry) error {
	if e.err != nil {
		return e.err
	}
	return p.away.reason
}

// Away tells since when and why etcd does not answer; the zero time while it
// does.
func (p *Publisher) Away() (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away.since, p.away.reason
}

func notify(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

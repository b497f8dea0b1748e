// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package reconcile makes the dataplane as planned and keeps it so. Whoever
// changes the plan says what one owner should have; the reconciler compares it
// with what the owner has, hands the difference to the driver, together with
// that of every other owner that waits, retries what failed, and looks again
// whenever the dataplane says that something changed without our doing.
//
// All state is per owner, so that a change costs what the change is worth. An
// owner is handed to the driver by one batch at a time.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

// ErrStopped is returned to those who wait when the reconciler stops.
var ErrStopped = errors.New("the agent is stopping")

// Options are the reconciler's settings.
type Options struct {
	Log *slog.Logger
	// RepairInterval is how often everything is compared; positive.
	RepairInterval time.Duration
	// Gone is told, once, of each owner that was removed when nothing of it
	// exists any more. It is called from one goroutine.
	Gone func(desired.Owner)
}

// Reconciler is safe for concurrent use. Run must be running for anything to
// happen.
type Reconciler struct {
	driver  dataplane.Driver
	options Options
	wake    chan struct{} // one token: there may be work
	reap    chan struct{} // one token: something was cut off
	synced  chan struct{} // closed once the first look was taken

	mu      sync.Mutex
	owners  map[desired.Owner]*entry
	pending queue // owners whose plan changed, or that must be looked at
	verify  queue // owners whose turn it is to be compared
	retries []retry
	leaving []desired.Owner
	away    away
	stopped bool
}

// entry is one owner. The sets are never altered once they are here.
type entry struct {
	want, have desired.Set
	// unsure means that have lists what may exist, not what does: an attempt
	// failed, or the dataplane reported a change.
	unsure bool
	busy   bool // a batch works on it
	// asked counts the changes of want.
	asked    uint64
	err      error // of the last attempt
	failures int   // in a row
	// changes are those of the last attempt, if it failed and came to that; told
	// those that the log has, until an attempt succeeds.
	changes []desired.Change
	told    string
	waiters []waiter
}

// waiter waits for the attempt that begins with the asked-th change or a later
// one.
type waiter struct {
	asked uint64
	ready chan error
}

// New makes a reconciler over a driver that nobody else uses.
func New(driver dataplane.Driver, options Options) *Reconciler {
	return &Reconciler{
		driver:  driver,
		options: options,
		wake:    make(chan struct{}, 1),
		reap:    make(chan struct{}, 1),
		owners:  map[desired.Owner]*entry{},
		synced:  make(chan struct{}),
	}
}

// Set says what an owner should have from now on; nothing at all removes it.
// It does not wait.
func (r *Reconciler) Set(owner desired.Owner, objects []desired.Object) {
	r.mu.Lock()
	r.set(owner, objects)
	r.mu.Unlock()
	r.poke()
}

// Apply is Set, and waits until the change was made, or could not be: the
// error is then what the first attempt met, and the attempts go on. A removed
// owner is cut off when Apply returns; Options.Gone follows.
func (r *Reconciler) Apply(ctx context.Context, owner desired.Owner, objects []desired.Object) error {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return ErrStopped
	}
	e := r.set(owner, objects)
	ready := make(chan error, 1)
	e.waiters = append(e.waiters, waiter{asked: e.asked, ready: ready})
	r.mu.Unlock()
	r.poke()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the dataplane: %w", ctx.Err())
	}
}

func (r *Reconciler) set(owner desired.Owner, objects []desired.Object) *entry {
	e := r.owners[owner]
	if e == nil {
		e = &entry{}
		r.owners[owner] = e
	}
	e.want = desired.NewSet(objects...)
	e.asked++
	e.failures = 0
	r.pending.add(owner)
	return e
}

// Forget takes an owner as removed whose objects may still exist: have lists
// what it may have had. Used at start for owners that were on their way out.
func (r *Reconciler) Forget(owner desired.Owner, have []desired.Object) {
	r.mu.Lock()
	e := r.set(owner, nil)
	e.have = desired.NewSet(have...)
	r.mu.Unlock()
	r.poke()
}

// Check compares an owner with the dataplane now, without repairing, and lists
// the differences; none for an owner that is as planned.
func (r *Reconciler) Check(ctx context.Context, owner desired.Owner) ([]desired.Change, error) {
	r.mu.Lock()
	e := r.owners[owner]
	var want desired.Set
	if e != nil {
		want = e.want
	}
	r.mu.Unlock()
	have, err := r.driver.Observe(ctx, dataplane.Scope{Want: want})
	if err != nil {
		return nil, fmt.Errorf("read the dataplane: %w", err)
	}
	return desired.Diff(have, want), nil
}

// poke tells Run that there may be work.
func (r *Reconciler) poke() { notify(r.wake) }

func notify(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

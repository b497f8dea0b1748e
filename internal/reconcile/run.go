// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

const (
	// maxBatches bounds how many batches are with the driver at once. Owners
	// that come while all are out are taken together by the next.
	maxBatches = 4
	// maxBatch bounds the owners of one batch, so that one slow owner does not
	// keep too many others waiting for the next.
	maxBatch = 16
	// firstRetry doubles with each failure in a row, up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Run works until ctx ends, then lets the batches that are out come back and
// tells those who wait ErrStopped. It reads the whole dataplane first: before
// that nothing is changed, and what nobody wants by then is removed. So every
// owner known from the journal must have been Set before Run.
func (r *Reconciler) Run(ctx context.Context) error {
	defer r.stop()
	if err := r.firstLook(ctx); err != nil {
		return err
	}
	notify(r.reap) // what a former agent cut off and had no time to reap
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { r.reapLoop(ctx) })
	parts.Go(func() { r.watchLoop(ctx) })

	slots := make(chan struct{}, maxBatches)
	ticker := time.NewTicker(r.options.RepairInterval)
	defer ticker.Stop()
	for {
		next := r.dueRetries()
		for r.workWaits() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			batch := r.take()
			parts.Go(func() {
				// A batch that is out is finished whatever happens: half an
				// interface is worse than a late stop.
				r.process(context.WithoutCancel(ctx), batch)
				<-slots
				r.poke()
			})
		}
		if !r.idle(ctx, ticker.C, next) {
			return nil
		}
	}
}

// idle waits until there may be work, at most for next where that is not
// negative, and reports whether ctx still lives.
func (r *Reconciler) idle(ctx context.Context, compare <-chan time.Time, next time.Duration) bool {
	var retry <-chan time.Time
	if next >= 0 {
		timer := time.NewTimer(next)
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case <-r.wake:
	case <-retry:
	case <-compare:
		r.compareAll(ctx)
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Synced is closed once the dataplane was read and everything in it that was
// not wanted at start is known.
func (r *Reconciler) Synced() <-chan struct{} { return r.synced }

// firstLook learns what there is. Owners that nobody set get an entry that
// wants nothing, and are removed like any other.
func (r *Reconciler) firstLook(ctx context.Context) error {
	r.mu.Lock()
	want := desired.Set{}
	for _, e := range r.owners {
		maps.Copy(want, e.want)
	}
	r.mu.Unlock()
	have, err := r.driver.Observe(ctx, dataplane.Scope{Want: want, Everything: true})
	if err != nil {
		return fmt.Errorf("read the dataplane: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for owner, set := range byOwner(have) {
		e := r.owners[owner]
		if e == nil {
			e = r.set(owner, nil)
			r.options.Log.InfoContext(ctx, "removing what nobody wants", slog.String("owner", owner.String()))
		}
		// What Forget listed stays as listed: it says more than a stray shows.
		maps.Copy(set, e.have)
		e.have = set
	}
	close(r.synced)
	return nil
}

func (r *Reconciler) workWaits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending.any(r.free) || r.verify.any(r.free)
}

// stop answers everybody who still waits.
func (r *Reconciler) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	for _, e := range r.owners {
		for _, w := range e.waiters {
			w.ready <- ErrStopped
		}
		e.waiters = nil
	}
}

func byOwner(set desired.Set) map[desired.Owner]desired.Set {
	owners := map[desired.Owner]desired.Set{}
	for k, o := range set {
		if owners[k.Owner] == nil {
			owners[k.Owner] = desired.Set{}
		}
		owners[k.Owner][k] = o
	}
	return owners
}

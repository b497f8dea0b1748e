// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

const (
	// reapWindow collects what is cut off, because the kernel's price is per
	// reap, not per link.
	reapWindow = 50 * time.Millisecond
	// againAfter is the pause before a failed reap or watch is tried again.
	againAfter = time.Second
)

type retry struct {
	at    time.Time
	owner desired.Owner
}

type away struct {
	since  time.Time
	reason error
}

// retryLater has the owner tried again after a pause that doubles with every
// failure in a row.
func (r *Reconciler) retryLater(owner desired.Owner, e *entry) {
	pause := lastRetry
	if shift := e.failures - 1; shift < 9 {
		pause = min(firstRetry<<shift, lastRetry)
	}
	r.retries = append(r.retries, retry{at: time.Now().Add(pause), owner: owner})
	r.poke()
}

// dueRetries moves retries whose time has come to the pending queue, and gives
// the time until the next one; negative when there is none.
func (r *Reconciler) dueRetries() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	next := time.Duration(-1)
	kept := r.retries[:0]
	for _, t := range r.retries {
		e := r.owners[t.owner]
		switch wait := t.at.Sub(now); {
		case e == nil || e.err == nil: // it went, or got well
		case wait <= 0:
			r.pending.add(t.owner)
		default:
			kept = append(kept, t)
			if next < 0 || wait < next {
				next = wait
			}
		}
	}
	r.retries = kept
	return next
}

// compareAll has every owner compared with the dataplane, a batch at a time
// behind whatever is asked for meanwhile, and removes what belongs to nobody.
func (r *Reconciler) compareAll(ctx context.Context) {
	found, err := r.driver.Observe(ctx, dataplane.Scope{Everything: true})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			r.options.Log.WarnContext(ctx, "cannot look for strays", slog.Any("error", err))
		}
		found = nil
	}
	for owner := range r.owners {
		r.verify.add(owner)
	}
	for owner, set := range byOwner(found) {
		if r.owners[owner] != nil {
			continue // also one that came after the reading: it is busy with it
		}
		r.options.Log.InfoContext(ctx, "removing what nobody wants", slog.String("owner", owner.String()))
		e := r.set(owner, nil)
		e.have, e.unsure = set, true
	}
}

// hit takes a report of the driver's watch.
func (r *Reconciler) hit(h dataplane.Hit) {
	r.mu.Lock()
	if h.Away != nil {
		if r.away.reason == nil {
			r.away.since = time.Now()
		}
		r.away.reason = h.Away
	} else if h.All {
		r.away = away{}
	}
	if h.All {
		for owner, e := range r.owners {
			e.unsure = true
			r.pending.add(owner)
		}
	}
	for _, owner := range h.Owners {
		if e := r.owners[owner]; e != nil && len(e.want) > 0 {
			e.unsure = true
			r.pending.add(owner)
		}
	}
	r.mu.Unlock()
	r.poke()
}

// watchLoop keeps the driver's watch up.
func (r *Reconciler) watchLoop(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.driver.Watch(ctx, r.hit); err != nil && ctx.Err() == nil {
			r.options.Log.WarnContext(ctx, "watching the dataplane", slog.Any("error", err))
		}
		if !pause(ctx, againAfter) {
			return
		}
		r.hit(dataplane.Hit{All: true}) // whatever happened meanwhile was not reported
	}
}

// reapLoop makes an end of what was cut off, and says so.
func (r *Reconciler) reapLoop(ctx context.Context) {
	var again <-chan time.Time
	said := map[string]bool{}
	for {
		select {
		case <-r.reap:
		case <-again:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, reapWindow) {
			return
		}
		again = nil
		errs := r.reapLeaving(ctx)
		if len(errs) > 0 {
			again = time.After(againAfter)
		}
		say := map[string]bool{}
		for _, err := range errs {
			if say[err.Error()] = true; !said[err.Error()] {
				r.options.Log.WarnContext(ctx, "cannot remove; trying again", slog.Any("error", err))
			}
		}
		said = say
	}
}

// reapLeaving tells of those owners that are gone for good; the others stay on
// the list, and it says why.
func (r *Reconciler) reapLeaving(ctx context.Context) []error {
	r.mu.Lock()
	leaving := r.leaving
	r.leaving = nil
	r.mu.Unlock()
	left, err := r.driver.Reap(ctx)
	var stay []desired.Owner
	for _, owner := range leaving {
		if err != nil || left[owner] != nil {
			stay = append(stay, owner)
		} else {
			r.options.Gone(owner)
		}
	}
	r.mu.Lock()
	r.leaving = append(stay, r.leaving...)
	r.mu.Unlock()
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	for owner, reason := range left {
		errs = append(errs, fmt.Errorf("sandbox %s: %w", owner, reason))
	}
	return errs
}

// pause waits and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

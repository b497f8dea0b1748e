// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/polynic/polynic/internal/publish/store"
)

const (
	// maxBusy bounds how many claims are worked on at once: etcd syncs its disk once for
	// what comes together. While it is away it is one, to see whether it is back.
	maxBusy = 256
	// attemptLimit bounds one attempt.
	attemptLimit = 7 * time.Second
)

// Run works until ctx ends, and then tells those who wait ErrStopped. It is run
// once. It does not close the store's client.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.stop()
	defer p.parts.Wait()
	p.parts.Go(func() { p.lookLoop(ctx) })
	p.parts.Go(func() { p.problemLoop(ctx) })
	for {
		p.startWatches(ctx, time.Now())
		e, next := p.take(time.Now())
		if e != nil {
			p.parts.Go(func() { p.work(ctx, e) })
			continue
		}
		if !p.idle(ctx, next) {
			return nil
		}
	}
}

// idle waits until there may be work, at most for next where that is not
// negative, and reports whether ctx still lives.
func (p *Publisher) idle(ctx context.Context, next time.Duration) bool {
	var retry <-chan time.Time
	if next >= 0 {
		timer := time.NewTimer(next)
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case <-p.wake:
	case <-retry:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// stop answers everybody who still waits.
func (p *Publisher) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for _, e := range p.entries {
		e.stopWatch()
		e.answer(ErrStopped, e.asked)
		for _, ready := range e.gone {
			ready <- ErrStopped
		}
		e.gone = nil
	}
}

// take gives a claim that is to be worked on, those first for which somebody
// waits. Without one it gives the time until there may be one, negative for none.
func (p *Publisher) take(now time.Time) (*entry, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isAway := p.away.reason != nil
	var found *entry
	next := time.Duration(-1)
	if !p.watchDue.IsZero() {
		next = max(p.watchDue.Sub(now), 0)
	}
	if p.busy >= maxBusy || isAway && p.busy > 0 {
		return nil, next
	}
	for _, e := range p.entries {
		if !e.hasWork() {
			continue
		}
		due := e.retry
		if isAway && p.away.retry.After(due) {
			due = p.away.retry
		}
		if pause := due.Sub(now); pause > 0 {
			if next < 0 || pause < next {
				next = pause
			}
			continue
		}
		if found == nil || e.before(found) {
			found = e
		}
	}
	if found != nil {
		found.busy = true
		p.busy++
	}
	return found, next
}

func (e *entry) before(o *entry) bool {
	if waits, other := len(e.waiters) > 0, len(o.waiters) > 0; waits != other {
		return waits
	}
	return e.since.Before(o.since)
}

// attempt is one attempt at a claim, as things stood when it began.
type attempt struct {
	asked uint64
	began time.Time
	claim store.Claim
	leave map[string]left
	todo  todo
	// written is what became of it.
	written store.Written
}

func (p *Publisher) work(ctx context.Context, e *entry) {
	p.mu.Lock()
	a := attempt{asked: e.asked, began: time.Now(), claim: e.claim, todo: e.todo, leave: map[string]left{}}
	e.todo = nothing // what is heard from now on comes after it
	maps.Copy(a.leave, e.leave)
	p.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	err := p.try(limited, e, &a)
	if ctx.Err() != nil {
		return // Run is over
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer notify(p.wake)
	e.busy = false
	p.busy--
	if err != nil && e.wanted {
		e.todo = max(e.todo, a.todo)
	}
	switch {
	case err == nil:
		p.back(ctx)
		p.succeeded(ctx, e, &a)
	case errors.Is(err, store.ErrAway):
		e.err = err
		e.retry = time.Now().Add(backOff(e.failures, lastProbe))
		e.failures++
		p.lost(ctx, err, a.began)
	default:
		p.back(ctx)
		p.failed(ctx, e, &a, err)
	}
	p.forget(e)
}

// try asks the store, first for what is to go.
func (p *Publisher) try(ctx context.Context, e *entry, a *attempt) error {
	for label, l := range a.leave {
		err := p.config.Store.Drop(ctx, label, l.owner, l.items...)
		if err != nil && !errors.Is(err, store.ErrInvalid) { // which another attempt does not change
			return err
		}
		p.mu.Lock()
		if e.leave[label].owner == l.owner {
			delete(e.leave, label)
		}
		p.mu.Unlock()
		log := p.config.Log.With(slog.String("owner", l.owner.String()), slog.String("label", label))
		if err != nil {
			log.WarnContext(ctx, "withdrawn from etcd as far as can be told what there is", slog.Any("error", err))
		} else {
			log.InfoContext(ctx, "withdrawn from etcd")
		}
	}
	var err error
	switch a.todo {
	case write:
		a.written, err = p.config.Store.Put(ctx, a.claim, p.alive)
	case look:
		a.written, err = p.config.Store.Mend(ctx, a.claim, p.alive)
	case nothing:
	}
	return err
}

// succeeded takes note of what is in etcd now. The caller holds p.mu.
func (p *Publisher) succeeded(ctx context.Context, e *entry, a *attempt) {
	e.err, e.failures, e.retry = nil, 0, time.Time{}
	e.answer(nil, a.asked)
	switch {
	case e.wanted && e.asked == a.asked:
		p.log(ctx, a)
		e.mark, e.seen = &a.written.Mark, a.written.Revision
		if e.told != "" {
			e.told = ""
			p.report(problem{owner: a.claim.Owner})
		}
		if e.unwatch == nil && p.watchDue.IsZero() {
			p.watchDue = time.Now().Add(watchDelay)
		}
	case !e.wanted && len(e.leave) == 0:
		for _, ready := range e.gone {
			ready <- nil
		}
		delete(p.entries, e.ref)
	}
}

// failed takes note of an error that is the claim's. The caller holds p.mu.
func (p *Publisher) failed(ctx context.Context, e *entry, a *attempt, err error) {
	if e.asked != a.asked {
		return
	}
	e.err = err
	e.retry = time.Now().Add(backOff(e.failures, lastRetry))
	e.failures++
	answered := e.answer(err, a.asked)
	if e.told == err.Error() {
		return
	}
	e.told = err.Error()
	if !answered {
		p.config.Log.WarnContext(ctx, "not published to etcd", slog.String("owner", a.claim.Owner.String()), slog.String("label", a.claim.Label), slog.Any("error", err))
		p.report(problem{a.claim.Owner, err})
	}
}

// log has one line for what was written, and none where nothing was.
func (p *Publisher) log(ctx context.Context, a *attempt) {
	if !a.written.Changed {
		return
	}
	about := []slog.Attr{
		slog.String("owner", a.claim.Owner.String()), slog.String("label", a.claim.Label),
		slog.Int("keys", len(a.claim.Items)), slog.Duration("took", time.Since(a.began)),
	}
	for _, o := range a.written.Evicted {
		about = append(about, slog.String("instead of", o.String()))
	}
	for _, l := range a.written.Left {
		about = append(about, slog.String("left to "+l.Owner.String(), l.Key))
	}
	if len(a.written.Replaced) > 0 {
		p.config.Log.LogAttrs(ctx, slog.LevelWarn, "keys that nobody here wrote had other values, and were replaced",
			slog.String("label", a.claim.Label), slog.Any("keys", a.written.Replaced))
	}
	if a.todo == look {
		p.config.Log.LogAttrs(ctx, slog.LevelInfo, "published to etcd again", about...)
		return
	}
	p.config.Log.LogAttrs(ctx, slog.LevelInfo, "published to etcd", about...)
}

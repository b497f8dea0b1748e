// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/polynic/polynic/internal/publish/store"
)

// errNotRestored is why it is not known yet whether a pod of this node lives.
var errNotRestored = errors.New("the pods of this node are not all known yet")

// alive tells whether an owner in etcd still exists.
func (p *Publisher) alive(ctx context.Context, o store.Owner) (bool, error) {
	isOurs := o.Kind == p.config.Kind && o.Node == p.config.Node
	if isOurs {
		if lives, known := p.knows(o); known {
			return lives, nil
		}
	}
	lives := true
	var err error
	if p.config.IsAlive != nil {
		lives, err = p.config.IsAlive(ctx, o)
	}
	if isOurs && (lives || err != nil) {
		return false, errNotRestored // one that exists nowhere is gone all the same
	}
	return lives, err
}

// knows tells whether an owner of this publisher's kind and node exists, if that
// is known here.
func (p *Publisher) knows(o store.Owner) (lives, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ref := store.PodRef(o.Attachment)
	if e := p.entries[ref]; e != nil {
		return e.wanted, true
	}
	return false, p.restored && p.kept[ref] == nil
}

// lost takes note that etcd does not answer, as an attempt showed that began at a
// time. The caller holds p.mu.
func (p *Publisher) lost(ctx context.Context, err error, began time.Time) {
	now := time.Now()
	if p.away.reason == nil {
		p.away.since = began
	}
	if !p.away.told && (p.answered || now.Sub(p.away.since) >= startGrace) {
		p.away.told = true
		p.config.Log.WarnContext(ctx, "what pods' agents must know does not reach etcd", slog.Any("error", err))
	}
	p.away.reason = err
	p.away.retry = now.Add(backOff(p.away.failures, lastProbe))
	p.away.failures++
	if now.Sub(p.away.since) < MaxWait {
		return
	}
	for _, e := range p.entries {
		waiting := slices.Clone(e.waiters)
		e.waiters = nil
		for _, w := range waiting {
			if w.since.After(began) {
				e.waiters = append(e.waiters, w)
			} else {
				w.ready <- err
			}
		}
	}
}

// back takes note that etcd answers. The caller holds p.mu.
func (p *Publisher) back(ctx context.Context) {
	p.answered = true
	if p.away.reason == nil {
		return
	}
	lasted := time.Since(p.away.since)
	if p.away.told {
		p.config.Log.InfoContext(ctx, "etcd answers again", slog.Duration("away", lasted))
	}
	p.away = away{}
	for _, e := range p.entries {
		// One that answers to some and not to others is left the pauses of each.
		if errors.Is(e.err, store.ErrAway) && lasted >= firstRetry {
			e.retry = time.Time{}
		}
	}
	notify(p.glance)
	notify(p.wake)
}

// lookLoop looks, from time to time, whether etcd has what it had, and, once all
// claims are known, what it has beside.
func (p *Publisher) lookLoop(ctx context.Context) {
	compare := time.NewTicker(p.config.CompareInterval)
	defer compare.Stop()
	failures := 0
	for {
		pause := p.config.LookInterval/2 + rand.N(p.config.LookInterval/2)
		if err := p.look(ctx); err != nil {
			pause = min(backOff(failures, lastProbe), p.config.LookInterval)
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.glance:
		case <-compare.C:
			p.doubtAll()
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// look asks etcd whether it has the records that were written, and what records
// nobody claims. An error is that it does not say.
func (p *Publisher) look(ctx context.Context) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	marks, prune := p.marks()
	if len(marks) == 0 && !prune {
		return nil // and nothing was asked
	}
	same, err := p.config.Store.Unchanged(limited, marks)
	lost := err == nil && !same
	var own []store.Holding
	if err == nil && (prune || lost) {
		own, _, err = p.config.Store.Owned(limited, p.config.Kind, p.config.Node)
	}
	if ctx.Err() != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prune = p.prune || prune && (err != nil || !p.restored)
	if errors.Is(err, store.ErrAway) {
		p.lost(ctx, err, began)
		return err
	}
	p.back(ctx)
	switch {
	case err != nil:
		p.sayUnknown(ctx, 0, err)
	case p.restored:
		p.removeStrays(ctx, own)
	}
	if lost {
		p.recover(ctx, marks)
	}
	return err
}

// marks are the records as they were written last, and whether to prune, which is
// taken on.
func (p *Publisher) marks() (marks []store.Mark, prune bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries {
		if e.mark != nil && !e.busy && e.todo == nothing {
			marks = append(marks, *e.mark)
		}
	}
	prune, p.prune = p.prune, false
	return marks, prune
}

// recover has everything compared whose record was as it was looked for, and
// watched anew: a watch of before may wait for a revision that is long to come. The
// caller holds p.mu.
func (p *Publisher) recover(ctx context.Context, looked []store.Mark) {
	found := false
	for _, e := range p.entries {
		if e.mark == nil || !slices.Contains(looked, *e.mark) {
			continue // written meanwhile
		}
		found = true
		e.stopWatch()
		if !e.busy && e.todo == nothing {
			e.todo, e.since = look, time.Now()
		}
	}
	if found {
		p.config.Log.WarnContext(ctx, "etcd does not have what was written, and everything is compared")
		notify(p.wake)
	}
}

// sayUnknown says, once, why not all records are known, or how many cannot be read. The
// caller holds p.mu.
func (p *Publisher) sayUnknown(ctx context.Context, unreadable int, err error) {
	if text := fmt.Sprint(unreadable, err); text != p.broken {
		p.broken = text
		p.config.Log.WarnContext(ctx, "it cannot be told whether etcd has something beside what is claimed",
			slog.Int("unreadable", unreadable), slog.Any("error", err))
	}
}

// maxTold is of how many records that cannot be read it is told why.
const maxTold = 3

// removeStrays removes what nobody claims, by entries that want nothing. The caller
// holds p.mu.
func (p *Publisher) removeStrays(ctx context.Context, own []store.Holding) {
	var broken []error
	for _, h := range own {
		if h.Broken != nil { // it may be anybody's
			broken = append(broken, h.Broken)
			continue
		}
		ref := store.Claim{Owner: h.Owner, Label: h.Label}.Ref()
		e := p.entries[ref]
		if p.kept[ref] != nil || e != nil && (e.wanted && e.claim.Label == h.Label || !e.wanted && len(e.leave) > 0) {
			continue
		}
		p.config.Log.InfoContext(ctx, "removing from etcd what nobody claims", slog.String("owner", h.Owner.String()), slog.String("label", h.Label))
		e = p.entry(ref)
		e.leave[h.Label] = left{owner: h.Owner}
		if e.say(); e.wanted {
			e.todo = max(e.todo, look)
		}
	}
	notify(p.wake)
	if len(broken) > 0 {
		p.sayUnknown(ctx, len(broken), errors.Join(broken[:min(len(broken), maxTold)]...))
	}
}

// doubtAll has every claim compared, and what is there beside looked for: an etcd that
// came back with older data may have all of the claims as they were written, and more.
func (p *Publisher) doubtAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prune = p.prune || p.restored
	for _, e := range p.entries {
		if e.wanted && e.todo == nothing {
			e.todo, e.since = look, time.Now()
		}
	}
	notify(p.wake)
}

// watchDelay is how long claims wait to be watched. Nothing is missed by that, for
// a watch begins with what came after the writing; but in a burst of pods it would
// cost etcd as much as the writing.
const watchDelay = time.Second

// startWatches watches all that is written and not watched, if it is time.
func (p *Publisher) startWatches(ctx context.Context, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watchDue.IsZero() || now.Before(p.watchDue) {
		return
	}
	p.watchDue = time.Time{}
	for _, e := range p.entries {
		settled := e.wanted && e.mark != nil && e.todo == nothing && !e.busy // else it comes to be so
		if settled && e.unwatch == nil {
			p.watch(ctx, e, e.seen)
		}
	}
}

// watch has the entry looked at when others alter what it claims. The caller holds
// p.mu.
func (p *Publisher) watch(ctx context.Context, e *entry, after int64) {
	e.watching++
	number, label := e.watching, e.claim.Label
	own, cancel := context.WithCancel(ctx)
	e.unwatch = cancel
	p.parts.Go(func() {
		defer cancel()
		err := p.config.Store.Watch(own, label, after, func(c store.Change) { p.changed(e, number, c) })
		if err == nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if e.watching == number {
			p.config.Log.DebugContext(ctx, "watching etcd anew", slog.String("label", label), slog.Any("error", err))
			e.unwatch = nil
			e.doubt(time.Now())
			notify(p.wake)
		}
	})
}

// changed judges a change that a watch of the entry told of.
func (p *Publisher) changed(e *entry, number uint64, c store.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want, ours := e.values[c.Key]
	if e.watching != number || !ours || c.Revision <= e.seen || c.Value != nil && bytes.Equal(c.Value, want) {
		return
	}
	e.doubt(time.Now())
	notify(p.wake)
}

// report has Problem told. The caller holds p.mu.
func (p *Publisher) report(about problem) {
	if p.config.Problem != nil {
		p.problems = append(p.problems, about)
		notify(p.tell)
	}
}

func (p *Publisher) problemLoop(ctx context.Context) {
	for {
		select {
		case <-p.tell:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		all := p.problems
		p.problems = nil
		p.mu.Unlock()
		for _, about := range all {
			p.config.Problem(about.owner, about.err)
		}
	}
}

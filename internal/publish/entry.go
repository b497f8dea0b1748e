// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
)

// todo is what a claim needs.
type todo uint8

const (
	nothing todo = iota
	look         // it is probably there; others may have altered it
	write        // it is probably not there
)

// entry is one claim, or what is left of it. The publisher's lock guards it.
type entry struct {
	ref    store.Ref
	claim  store.Claim
	values map[string][]byte // the claim's, by key
	wanted bool
	// leave are labels that the owner, as it was then, is to have no keys of.
	leave map[string]left
	todo  todo
	busy  bool // it is worked on
	// asked counts what was said about the claim, and since is when that was last.
	asked uint64
	since time.Time

	err      error // of the last attempt
	failures int   // in a row
	retry    time.Time
	told     string // the problem that somebody heard of
	waiters  []waiter
	gone     []chan error

	mark *store.Mark // the record, once it is written
	seen int64       // the revision at which all was as claimed
	// watching counts the watches; unwatch ends the one that runs.
	watching uint64
	unwatch  context.CancelFunc
	repairs  int // in a row, with less than steady in between
	repaired time.Time
}

// left is who had keys of a label, and what it claimed, if that is known.
type left struct {
	owner store.Owner
	items []ligato.Item
}

// waiter waits for the attempt that begins with the asked-th word or a later one.
type waiter struct {
	asked uint64
	since time.Time
	ready chan error
}

// away is that etcd does not answer.
type away struct {
	since    time.Time
	reason   error
	failures int
	retry    time.Time // nothing is tried before
	told     bool      // in the log
}

// startGrace is how long an etcd that has not answered yet may take to start: that is
// no news then.
const startGrace = 5 * time.Second

// problem is what Config.Problem is to hear.
type problem struct {
	owner store.Owner
	err   error
}

// set takes a claim up. The caller holds p.mu.
func (p *Publisher) set(c store.Claim) *entry {
	e := p.entry(c.Ref())
	delete(p.kept, e.ref)
	if e.wanted && e.claim.Label != c.Label {
		e.leave[e.claim.Label] = left{e.claim.Owner, e.claim.Items}
		e.stopWatch()
	}
	delete(e.leave, c.Label)
	e.claim, e.wanted, e.todo, e.mark = c, true, write, nil
	e.values = make(map[string][]byte, len(c.Items))
	for _, item := range c.Items {
		e.values[item.Key] = item.Value
	}
	e.say()
	for _, o := range p.entries {
		if o != e && o.wanted && c.Owner.Kind == store.Pod && c.Owner.UID != "" && o.claim.Owner.UID == c.Owner.UID && o.claim.Label == c.Label {
			p.giveUp(o, errSuperseded)
		}
	}
	return e
}

func (p *Publisher) entry(ref store.Ref) *entry {
	e := p.entries[ref]
	if e == nil {
		e = &entry{ref: ref, leave: map[string]left{}}
		p.entries[ref] = e
	}
	return e
}

// giveUp lets a claim go. The caller holds p.mu.
func (p *Publisher) giveUp(e *entry, why error) {
	if !e.wanted {
		return
	}
	e.wanted, e.todo, e.mark, e.told = false, nothing, nil, ""
	e.leave[e.claim.Label] = left{e.claim.Owner, e.claim.Items}
	e.stopWatch()
	e.say()
	e.answer(why, e.asked)
	e.claim.Items, e.values = nil, nil
	p.forget(e)
}

// maxLeaving bounds how many claims that were given up are kept until their keys
// are gone: while etcd is away, every sandbox that a runtime tries for a pod leaves
// one.
const maxLeaving = 1024

// forget lets go of an entry that was given up, where there are too many. What etcd
// may have of it is found by its record, as that of an earlier process is: once
// Restored, for nothing is looked for before. What goes before that needs no bound:
// an agent has no new sandboxes until it said Restored, and what a controller
// watches people make. The caller holds p.mu.
func (p *Publisher) forget(e *entry) {
	if e.wanted || e.busy || len(e.leave) == 0 || len(e.gone) > 0 || !p.restored {
		return
	}
	leaving := 0
	for _, o := range p.entries {
		if !o.wanted {
			leaving++
		}
	}
	if leaving > maxLeaving {
		delete(p.entries, e.ref)
		p.prune = true
	}
}

// say makes whatever happens next begin anew.
func (e *entry) say() {
	e.asked++
	e.since = time.Now()
	e.failures, e.retry = 0, time.Time{}
}

// answer tells those who wait for an attempt at the asked-th word, or an earlier
// one, and reports whether there were any.
func (e *entry) answer(err error, asked uint64) bool {
	var rest []waiter
	for _, w := range e.waiters {
		if w.asked <= asked {
			w.ready <- err
		} else {
			rest = append(rest, w)
		}
	}
	answered := len(rest) < len(e.waiters)
	e.waiters = rest
	return answered
}

func (e *entry) stopWatch() {
	if e.unwatch != nil {
		e.unwatch()
		e.unwatch = nil
	}
	e.watching++
}

// doubt has the entry looked at; where that was needed often of late, after a
// pause, so that two who write against each other do not do nothing else.
func (e *entry) doubt(now time.Time) {
	if !e.wanted || e.todo != nothing {
		return
	}
	e.todo, e.since = look, now
	if now.Sub(e.repaired) > steady {
		e.repairs = 0
	}
	if e.repairs > 0 {
		e.retry = now.Add(backOff(e.repairs, lastRetry))
	}
	e.repairs++
	e.repaired = now
}

func (e *entry) hasWork() bool { return !e.busy && (e.todo != nothing || len(e.leave) > 0) }

// The pauses after failures: each is twice the one before, and somewhere between
// half of that and all of it, so that the agents of a cluster do not come all at
// once.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
	lastProbe  = 4 * time.Second // while etcd is away
)

// steady is how long nothing is repaired between repairs that are not one of a
// row.
const steady = time.Minute

func backOff(failures int, limit time.Duration) time.Duration {
	pause := min(firstRetry<<min(failures, 16), limit)
	return pause/2 + rand.N(pause/2)
}

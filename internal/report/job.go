// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// job is something that is to be sent, perhaps more than once. Its methods are
// called with the Reporter's lock held.
type job interface {
	// due is when the job wants to be sent, the zero time while it does not.
	due() time.Time
	// prepare gives a request with what is known now; the request is made without
	// the lock.
	prepare() request
	// done takes the outcome of the request that was prepared last, and reports
	// whether the job came to its end.
	done(o outcome, now time.Time) bool
	// stale reports whether a job that is not due may be forgotten.
	stale(now time.Time) bool
}

type request func(ctx context.Context, api API) error

// entry is a job and how its requests fare.
type entry struct {
	job
	running  bool
	failures int       // in a row
	retry    time.Time // nothing is sent before
}

// take gives a job that is due, Events first: people wait for them. Without one
// it gives the time until the next.
func (r *Reporter) take(now time.Time) (key, *entry, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var chosen key
	var found *entry
	var first time.Time // the chosen one's
	next := now.Add(forgetAfter)
	for k, e := range r.jobs {
		at := e.due()
		switch {
		case e.running:
			continue
		case at.IsZero():
			if e.stale(now) {
				delete(r.jobs, k)
			}
			continue
		case at.Before(e.retry):
			at = e.retry
		}
		if at.After(now) {
			if at.Before(next) {
				next = at
			}
			continue
		}
		isEvent, chosenEvent := k.reason != "", chosen.reason != ""
		if found == nil || isEvent && !chosenEvent || isEvent == chosenEvent && at.Before(first) {
			chosen, found, first = k, e, at
		}
	}
	if found != nil {
		found.running = true
	}
	return chosen, found, next.Sub(now)
}

// send makes one request of a job that was taken.
func (r *Reporter) send(ctx context.Context, k key, e *entry) {
	r.mu.Lock()
	ask := e.prepare()
	r.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	err := ask(limited, r.config.API)
	if ctx.Err() != nil {
		return // Run is over
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.poke()
	now, o := time.Now(), outcomeOf(err)
	r.say(ctx, k, o, err)
	e.running = false
	switch o {
	case passing:
		e.retry = now.Add(backOff(e.failures, lastRetry))
		e.failures++
	case denied:
		e.retry = now.Add(backOff(e.failures, lastDenied))
		e.failures++
	case taken, gone, exists, rejected:
		e.failures, e.retry = 0, time.Time{}
	}
	if over := e.done(o, now); over && r.jobs[k] == e {
		delete(r.jobs, k)
	}
}

// backOff spreads the attempts of many agents.
func backOff(failures int, limit time.Duration) time.Duration {
	pause := min(firstRetry<<min(failures, 16), limit)
	return pause + rand.N(pause/4)
}

// say logs that requests begin to fail, and that they succeed again. What a pod
// that went takes with it is no failure. The caller holds r.mu.
func (r *Reporter) say(ctx context.Context, k key, o outcome, err error) {
	failing := o == passing || o == denied || o == rejected
	switch {
	case failing && !r.failing:
		r.config.Log.WarnContext(ctx, "what pods' users are to see does not reach the cluster",
			slog.String("pod", k.pod.String()), slog.String("reason", string(k.reason)), slog.Any("error", err))
	case o == taken && r.failing:
		r.config.Log.InfoContext(ctx, "what pods' users are to see reaches the cluster again")
	case o == gone, o == exists:
		return
	}
	r.failing = failing
}

// add takes a job up, or says once that there is no room for it. The caller
// holds r.mu.
func (r *Reporter) add(k key, j job) {
	alike := 0
	var idle []key
	for other, e := range r.jobs {
		if other.pod == k.pod && other.reason == k.reason {
			alike++
		}
		if !e.running && e.due().IsZero() {
			idle = append(idle, other)
		}
	}
	if len(r.jobs) >= maxJobs && len(idle) > 0 { // what was sent is remembered only to count
		delete(r.jobs, idle[0])
	}
	if len(r.jobs) >= maxJobs || alike >= maxAlike {
		if !r.full {
			r.full = true
			r.config.Log.Warn("too much to report: something is left out", slog.String("pod", k.pod.String()), slog.Int("waiting", len(r.jobs)))
		}
		return
	}
	r.full = false
	r.jobs[k] = &entry{job: j}
}

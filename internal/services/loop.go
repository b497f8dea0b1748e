// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

// firstRetry doubles with each failure in a row, up to lastRetry.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// loop is one run of a Resolver.
type loop struct {
	*Resolver
	// unsure means that it is not known what the dataplane has.
	unsure   bool
	failures int // in a row
}

// Run works until ctx ends. What it made stays.
func (r *Resolver) Run(ctx context.Context) error {
	select {
	case <-r.synced:
	case <-ctx.Done():
		return nil
	}
	l := &loop{Resolver: r, unsure: true}
	repair := time.NewTicker(r.config.RepairInterval)
	defer repair.Stop()
	for ctx.Err() == nil {
		l.takeUp()
		err := l.apply(ctx)
		if ctx.Err() != nil {
			return nil
		}
		l.say(ctx, err)
		l.wait(ctx, repair.C, err)
	}
	return nil
}

// takeUp takes over what has changed, and tells of what is refused.
func (l *loop) takeUp() {
	l.mu.Lock()
	c := l.resolver.take()
	for key := range c.put {
		l.differs[key] = true
	}
	for key := range c.gone {
		l.differs[key] = true
	}
	l.mu.Unlock()
	if l.config.Refused != nil {
		for _, s := range c.refused {
			l.config.Refused(s)
		}
	}
}

// apply has the dataplane made as it should be.
func (l *loop) apply(ctx context.Context) error {
	if l.unsure {
		have, err := l.config.Driver.ObserveServices(ctx)
		if err != nil {
			return fmt.Errorf("read the services of the dataplane: %w", err)
		}
		l.compare(have)
	}
	put, gone := l.work()
	if len(put)+len(gone) == 0 {
		return nil
	}
	err := l.config.Driver.ApplyServices(ctx, put, gone)
	if refused, is := errors.AsType[dataplane.RefusedServices](err); is {
		l.refuse(refused)
		return nil
	}
	if err != nil {
		l.unsure = true
		return fmt.Errorf("services: %w", err)
	}
	l.mu.Lock()
	l.differs = map[desired.ServiceKey]bool{} // of many the map would stay large
	l.mu.Unlock()
	return nil
}

// refuse has services left out that the dataplane does not accept; that it has all
// others is looked at.
func (l *loop) refuse(services dataplane.RefusedServices) {
	l.unsure = true
	l.mu.Lock()
	l.differs = map[desired.ServiceKey]bool{}
	for key, reason := range services {
		l.resolver.reject(key, reason)
	}
	l.mu.Unlock()
	notify(l.wake)
}

// compare takes over what the dataplane has. What failed is asked for again even if it
// seems to be there: something beside it may have failed, as ending old flows.
func (l *loop) compare(have map[desired.ServiceKey]desired.Service) {
	l.unsure = false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.observed = true
	for s := range l.resolver.all() {
		if there, ok := have[s.Key]; !ok || !there.Equal(s) {
			l.differs[s.Key] = true
		}
	}
	for key := range have {
		if _, wanted := l.resolver.wanted(key); !wanted {
			l.differs[key] = true
		}
	}
}

// work is what differs, in order of the keys.
func (l *loop) work() (put []desired.Service, gone []desired.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range slices.SortedFunc(maps.Keys(l.differs), compareKeys) {
		if s, wanted := l.resolver.wanted(key); wanted {
			put = append(put, s)
		} else {
			gone = append(gone, key)
		}
	}
	return put, gone
}

func compareKeys(a, b desired.ServiceKey) int { return strings.Compare(a.String(), b.String()) }

// wait returns when there may be something to do.
func (l *loop) wait(ctx context.Context, repair <-chan time.Time, failed error) {
	var retry <-chan time.Time
	if failed != nil {
		timer := time.NewTimer(min(firstRetry<<min(l.failures-1, 16), lastRetry))
		defer timer.Stop()
		retry = timer.C
	}
	for {
		select {
		case <-l.wake:
			if failed != nil {
				continue // what comes meanwhile does not make it answer
			}
		case <-retry:
		case <-l.look:
			l.unsure = true
		case <-repair:
			l.unsure = true
			l.mu.Lock()
			l.resolver.acceptAll()
			l.mu.Unlock()
		case <-ctx.Done():
		}
		return
	}
}

// say logs that the dataplane begins to fail, and that it does not any more.
func (l *loop) say(ctx context.Context, err error) {
	l.mu.Lock()
	was := l.failing
	l.failing = err
	l.mu.Unlock()
	switch {
	case err == nil:
		if was != nil {
			l.config.Log.InfoContext(ctx, "services are as they should be again")
		}
		l.failures = 0
		return
	case was == nil || was.Error() != err.Error():
		l.config.Log.WarnContext(ctx, "services are not as they should be", slog.Any("error", err))
	}
	l.failures++
}

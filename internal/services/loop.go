// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

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
	// want is what there should be, and differs the keys by which what the dataplane
	// has may be something else.
	want    map[desired.ServiceKey]desired.Service
	differs map[desired.ServiceKey]bool
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
	l := &loop{Resolver: r, differs: map[desired.ServiceKey]bool{}, unsure: true}
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
	if l.want == nil {
		l.want = l.resolver.all()
	}
	l.mu.Unlock()
	for key, s := range c.put {
		l.want[key] = s
		l.differs[key] = true
	}
	for key := range c.gone {
		delete(l.want, key)
		l.differs[key] = true
	}
	if l.config.Refused != nil {
		for _, s := range c.resolved {
			if len(s.Refusals) > 0 {
				l.config.Refused(s)
			}
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
	if err := l.config.Driver.ApplyServices(ctx, put, gone); err != nil {
		l.unsure = true
		return fmt.Errorf("services: %w", err)
	}
	clear(l.differs)
	return nil
}

// compare takes over what the dataplane has. What failed is asked for again even if it
// seems to be there: something beside it may have failed, as ending old flows.
func (l *loop) compare(have map[desired.ServiceKey]desired.Service) {
	l.unsure = false
	for key, s := range l.want {
		if there, ok := have[key]; !ok || !there.Equal(s) {
			l.differs[key] = true
		}
	}
	for key := range have {
		if _, wanted := l.want[key]; !wanted {
			l.differs[key] = true
		}
	}
}

// work is what differs, in order of the keys.
func (l *loop) work() (put []desired.Service, gone []desired.ServiceKey) {
	for _, key := range slices.SortedFunc(maps.Keys(l.differs), compareKeys) {
		if s, wanted := l.want[key]; wanted {
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

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/tap"
)

const (
	// handover is how long the files of a worker that was killed together with
	// its parent may take to be closed by the kernel.
	handover = 3 * time.Second
	// handoverPoll is how often they are looked at; the kernel tells nobody.
	handoverPoll = 10 * time.Millisecond
)

// recover attaches what a former worker had attached. What has gone since is
// forgotten; nothing is made.
func (t *table) recover(ctx context.Context) error {
	start := time.Now()
	found, broken, err := t.records.load()
	if err != nil {
		return err
	}
	for _, err := range broken {
		t.log.WarnContext(ctx, "a record was dropped", slog.Any("error", err))
	}
	var waiting []*port
	for _, r := range found {
		waiting = append(waiting, &port{id: r.id(), device: t.device(r)})
	}
	poll(ctx, handover, func() bool { //nolint:contextcheck // ports outlive the call that opens them
		waiting = t.recoverEach(waiting)
		return len(waiting) == 0
	})
	t.keepAll(waiting) //nolint:contextcheck // as above
	if len(found) > 0 {
		t.log.InfoContext(ctx, "attached what the last worker had", slog.Int("records", len(found)),
			slog.Int("ports", t.count()), slog.Duration("in", time.Since(start)))
	}
	return nil
}

// device is what a record describes.
func (t *table) device(r record) device {
	if r.Memif != nil {
		return &memifPort{MemifPort: *r.Memif, parts: t.parts}
	}
	return t.tapDevice(*r.Port)
}

// recoverEach tries every port, several at a time, and returns those that are
// still open elsewhere.
func (t *table) recoverEach(ports []*port) (busy []*port) {
	t.mu.Lock() // whatever fails meanwhile is dealt with afterwards
	defer t.mu.Unlock()
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range ports {
		workers.Go(func() error {
			p.reason = t.open(p, tap.Attach)
			return nil
		})
	}
	_ = workers.Wait() // each has its own error
	for _, p := range ports {
		switch {
		case errors.Is(p.reason, relayapi.ErrTaken):
			busy = append(busy, p)
		case errors.Is(p.reason, tap.ErrGone), errors.Is(p.reason, relayapi.ErrNetnsGone), errors.Is(p.reason, relayapi.ErrFolderGone):
			err := errors.Join(p.reason, t.records.remove(p.id))
			t.log.Info("a port has gone meanwhile", slog.String("port", p.id), slog.Any("reason", err))
		default:
			t.keep(p)
		}
	}
	return busy
}

func (t *table) keepAll(ports []*port) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range ports {
		t.keep(p)
	}
	t.cross()
}

func (t *table) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ports)
}

// keep lists a port; one that cannot be attached is left to be mended by an
// Attach. t.mu is held.
func (t *table) keep(p *port) {
	if p.reason != nil {
		t.log.Warn("a port cannot be attached again", slog.String("port", p.id), slog.Any("reason", p.reason))
	}
	t.ports[p.id] = p
}

// poll calls done until it returns true, the limit has passed, or ctx ends.
func poll(ctx context.Context, limit time.Duration, done func() bool) {
	tick, end := time.NewTicker(handoverPoll), time.NewTimer(limit)
	defer tick.Stop()
	defer end.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

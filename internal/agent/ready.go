// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/desired"
)

// lateStart is when a start takes longer than usual.
const lateStart = 2 * time.Second

// waitUntilReady waits until the dataplane was read, the node's own part of it
// made, and every pod there is listed. It reports false when ctx ends first.
func (a *agent) waitUntilReady(ctx context.Context) bool {
	if !a.await(ctx, a.reconciler.Synced(), func() string { return "the dataplane is read" }) ||
		!a.awaitPods(ctx) {
		return false
	}
	a.readiness.until("the node's network is made")
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	said := ""
	for {
		err := a.reconciler.Apply(ctx, desired.Owner{}, a.node.Objects())
		if err == nil {
			return true
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			a.readiness.until("the node's network is made: " + said)
			a.Log.ErrorContext(ctx, "the node's network cannot be made; trying again", slog.Any("error", err))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
}

// awaitPods waits until every pod is listed. Where the node was ready before and
// the API server is away, nobody waits: what is attached is known, and a pod that
// is not known is asked for when its ADD comes.
func (a *agent) awaitPods(ctx context.Context) bool {
	what := func() string {
		if why := a.cluster.away(); why != nil {
			return "the pods are listed: " + why.Error()
		}
		return "the pods are listed (" + a.Config.PodSource + ")"
	}
	if _, err := os.Stat(readyFile(a.Config)); a.cluster == nil || err != nil {
		return a.await(ctx, a.inventory.PodsSynced(), what)
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if !a.await(limited, a.inventory.PodsSynced(), what) {
		a.Log.WarnContext(ctx, "the pods are not listed, and are asked for one by one")
	}
	return ctx.Err() == nil
}

// await waits for one condition, and says so where that takes its time.
func (a *agent) await(ctx context.Context, condition <-chan struct{}, what func() string) bool {
	late := time.NewTimer(lateStart)
	defer late.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		a.readiness.until(what())
		select {
		case <-condition:
			return true
		case <-look.C:
		case <-late.C:
			a.Log.WarnContext(ctx, "requests wait, and DELs are only noted down", slog.String("until", what()))
		case <-ctx.Done():
			return false
		}
	}
}

// sweepLoop looks for sandboxes that went without a DEL.
func (a *agent) sweepLoop(ctx context.Context) error {
	ticker := time.NewTicker(a.Config.SweepInterval.Duration)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := a.attacher.Sweep(ctx); err != nil {
				a.Log.WarnContext(ctx, "looking for sandboxes that are gone", slog.Any("error", err))
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// heartbeat keeps the ready file young while ADD can be served; polynic-cni
// judges by its age when it finds no agent.
func (a *agent) heartbeat(ctx context.Context) error {
	path := readyFile(a.Config)
	limit := cniwire.AppendAwayLimit(nil, int64(a.Config.AwayLimit.Seconds()))
	ticker := time.NewTicker(a.Config.AwayLimit.Duration / 5)
	defer ticker.Stop()
	for {
		if _, reason := a.reconciler.Away(); reason == nil {
			if err := writeWhole(path, limit); err != nil {
				a.Log.WarnContext(ctx, "cannot say that the node is ready", slog.Any("error", err))
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func readyFile(c config.Config) string { return filepath.Join(c.StateDir, cniwire.ReadyFile) }

// writeWhole replaces a file, so that a reader sees the old or the new content.
func writeWhole(path string, data []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, 0o644); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), os.Remove(temporary))
	}
	return nil
}

// readiness is since when requests are answered, or why they are not yet.
type readiness struct {
	reached chan struct{} // closed by set

	mu     sync.Mutex
	since  time.Time
	waited string
}

func newReadiness() *readiness {
	return &readiness{reached: make(chan struct{}), waited: "it has begun"}
}

// set opens the gate; once.
func (r *readiness) set() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = time.Now()
	close(r.reached)
}

// until says what is waited for.
func (r *readiness) until(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waited = what
}

// why is nil once requests are answered.
func (r *readiness) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.since.IsZero() {
		return nil
	}
	return fmt.Errorf("the agent is not ready until %s", r.waited)
}

func (r *readiness) get() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since
}

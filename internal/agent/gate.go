// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/model"
)

// gate has requests wait until the node is ready. STATUS alone is answered
// before, with what is waited for.
type gate struct {
	cniserver.Verbs
	readiness *readiness
	stopping  <-chan struct{}
	// readyFile is as young as awayLimit where a former agent was ready just now.
	readyFile string
	awayLimit time.Duration
	// tombstones takes the DELs that this agent comes to do no more.
	tombstones string
}

// newGate makes a gate that is open once readiness is reached; verbs may be nil
// before.
func newGate(o Options, verbs cniserver.Verbs, readiness *readiness, stopping <-chan struct{}) *gate {
	return &gate{
		Verbs: verbs, readiness: readiness, stopping: stopping, readyFile: readyFile(o.Config),
		awayLimit: o.Config.AwayLimit.Duration, tombstones: o.Config.TombstoneDir(),
	}
}

func (g *gate) wait(ctx context.Context) error {
	cause := errStopping
	select {
	case <-g.readiness.reached:
	case <-g.stopping:
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	why := g.readiness.why()
	if why == nil { // whatever else has come
		return nil
	}
	return &attach.Error{Code: cniwire.CodeTryAgainLater, Err: fmt.Errorf("%w: %w", why, cause)}
}

// Add implements cniserver.Verbs, as do the other methods.
func (g *gate) Add(ctx context.Context, r attach.Request) (attach.Result, error) {
	if err := g.wait(ctx); err != nil {
		return attach.Result{}, err
	}
	return g.Verbs.Add(ctx, r)
}

func (g *gate) Del(ctx context.Context, r attach.Request) error {
	if err := g.wait(ctx); err != nil {
		return leaveTombstone(g.tombstones, cniwire.Tombstone{
			ContainerID: r.ID.ContainerID, IfName: r.ID.IfName, Network: r.Network,
		})
	}
	return g.Verbs.Del(ctx, r)
}

func (g *gate) Check(ctx context.Context, r attach.Request, previous attach.Result) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return g.Verbs.Check(ctx, r, previous)
}

func (g *gate) GC(ctx context.Context, network string, valid []model.AttachmentID) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return g.Verbs.GC(ctx, network, valid)
}

// Status spares a node that was ready a moment ago: it would lose its pods.
func (g *gate) Status(ctx context.Context) error {
	why := g.readiness.why()
	if why == nil {
		return g.Verbs.Status(ctx)
	}
	if st, err := os.Stat(g.readyFile); err == nil && time.Since(st.ModTime()).Abs() < g.awayLimit {
		return nil
	}
	return &attach.Error{Code: cniwire.CodeNotAvailable, Err: why}
}

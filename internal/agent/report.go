// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/openfiles"
	"github.com/polynic/polynic/internal/reconcile"
	"github.com/polynic/polynic/internal/report"
)

// reported has pods' users told what becomes of ADDs.
type reported struct {
	cniserver.Verbs
	to *report.Reporter
}

// Add implements cniserver.Verbs, as does Del.
func (v reported) Add(ctx context.Context, r attach.Request) (attach.Result, error) {
	made, err := v.Verbs.Add(ctx, r)
	err = openfiles.Explain("polynic-agent", err) // here, that users hear what the runtime does
	v.to.Added(ctx, r, made, err)
	return made, err
}

func (v reported) Del(ctx context.Context, r attach.Request) error {
	v.to.Deleted(r)
	return v.Verbs.Del(ctx, r)
}

// newReporter is nil where there is no cluster, and so nobody to tell.
func newReporter(o Options, c *cluster, pods report.Pods) *report.Reporter {
	if c == nil {
		return nil
	}
	return report.New(report.Config{
		Log: o.Log, API: c.client, Pods: pods, NodeName: o.Config.NodeName, NetworkStatus: o.Config.Kubernetes.NetworkStatus,
	})
}

// warner is nil where there is nobody to tell.
func (a *agent) warner() attach.Warner {
	if a.reporter == nil {
		return nil
	}
	return a.reporter
}

// tellOf has somebody told of a gate's requests, if there is anybody.
func (a *agent) tellOf(verbs cniserver.Verbs) cniserver.Verbs {
	if a.reporter == nil {
		return verbs
	}
	return reported{verbs, a.reporter}
}

// goRounds looks after pods once they are all known.
func (a *agent) goRounds(ctx context.Context) error {
	select {
	case <-a.inventory.PodsSynced():
		return report.NewRounds(a.reporter, rounds{a}).Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// rounds implements report.Node.
type rounds struct{ *agent }

func (r rounds) Attachments() []model.Attachment { return r.inventory.Attachments() }

func (r rounds) Describe(att model.Attachment) (attach.Result, error) {
	return r.attacher.Describe(att)
}

func (r rounds) Failing(id model.AttachmentID) error {
	state, err := r.reconciler.State(id)
	if state != reconcile.Failing {
		return nil
	}
	return err
}

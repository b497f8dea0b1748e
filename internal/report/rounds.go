// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"time"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

const (
	// lookInterval is how often the node is asked how its pods fare.
	lookInterval = 10 * time.Second
	// lasting is how long a repair fails before the pod's user hears of it.
	lasting = 30 * time.Second
	// compareInterval is how often the annotations are compared.
	compareInterval = 5 * time.Minute
)

// Node is what Rounds look at. All methods may be called at any time.
type Node interface {
	// Attachments lists the sandboxes that are attached.
	Attachments() []model.Attachment
	// Describe is what a sandbox was answered.
	Describe(att model.Attachment) (attach.Result, error)
	// Failing says why a sandbox is not as it should be, or nil.
	Failing(id model.AttachmentID) error
}

// Rounds look after pods that no request is about: an annotation that an earlier
// agent did not come to write, a repair that does not succeed.
type Rounds struct {
	reporter *Reporter
	node     Node
	failing  map[model.AttachmentID]failure
}

type failure struct {
	since time.Time
	told  bool
}

// NewRounds makes rounds of a node.
func NewRounds(reporter *Reporter, node Node) *Rounds {
	return &Rounds{reporter: reporter, node: node, failing: map[model.AttachmentID]failure{}}
}

// Run goes its rounds until ctx ends, the first at once. It begins when the pods
// of the node are known.
func (r *Rounds) Run(ctx context.Context) error {
	r.compare()
	look, compare := time.NewTicker(lookInterval), time.NewTicker(compareInterval)
	defer look.Stop()
	defer compare.Stop()
	for {
		select {
		case now := <-look.C:
			r.look(now)
		case <-compare.C:
			r.compare()
		case <-ctx.Done():
			return nil
		}
	}
}

// compare has annotations written that are not as they should be.
func (r *Rounds) compare() {
	for _, att := range r.node.Attachments() {
		if att.Leaving || !r.reporter.writesStatus(att.ID, att.Pod) {
			continue
		}
		if pod, ok := r.reporter.config.Pods.Pod(att.Pod); !ok || pod.Ref.UID != att.Pod.UID {
			continue
		}
		made, err := r.node.Describe(att)
		if err != nil {
			continue // of a newer version
		}
		if value, err := NetworkStatus(att.Network, made); err == nil { // else the ADD told
			r.reporter.setStatus(att.Pod, att.ID, value)
		}
	}
}

// look tells of pods that cannot be mended, and of those that were.
func (r *Rounds) look(now time.Time) {
	seen := map[model.AttachmentID]failure{}
	for _, att := range r.node.Attachments() {
		if att.Leaving {
			continue
		}
		known, isKnown := r.failing[att.ID]
		err := r.node.Failing(att.ID)
		switch {
		case err == nil && known.told:
			r.reporter.record(att.Pod, InterfaceRestored, "", "the pod's interfaces are as they should be again")
		case err == nil:
		case !isKnown:
			seen[att.ID] = failure{since: now}
		default:
			if now.Sub(known.since) >= lasting {
				known.told = true
				r.reporter.record(att.Pod, InterfaceDown, "", "cannot be repaired, and is tried again: "+err.Error())
			}
			seen[att.ID] = known
		}
	}
	r.failing = seen
}

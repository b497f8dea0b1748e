// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package report tells a pod's user, through the Kubernetes API, what became of
// its interfaces: the annotation network-status of a pod that was served, and
// Events about one that was refused, or served although something is odd; and Events
// about services of which a part is not served.
//
// Whoever has something to tell is never kept waiting, and no more than a bounded
// number of things is remembered. What is to be sent is kept per pod and reason,
// so that what happens again and again makes one annotation or one Event.
package report

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/model"
)

// API is what a Reporter does to the cluster; *kube.Client does it. Its errors
// are those of the API server (k8s.io/apimachinery/pkg/api/errors) or of the
// connection.
type API interface {
	// PatchPodStatus applies a JSON merge patch to a pod's subresource status.
	PatchPodStatus(ctx context.Context, namespace, name string, patch []byte) error
	CreateEvent(ctx context.Context, event *corev1.Event) (*corev1.Event, error)
	// PatchEvent applies a JSON merge patch to an Event.
	PatchEvent(ctx context.Context, namespace, name string, patch []byte) error
}

// Pods finds a pod by its name.
type Pods interface {
	Pod(ref model.PodRef) (model.Pod, bool)
}

// Config is what a Reporter is made of.
type Config struct {
	Log *slog.Logger
	API API
	// Pods are those of the node, as the cluster has them; *inventory.Inventory
	// has them.
	Pods Pods
	// NodeName is the node's, for the Events.
	NodeName string
	// NetworkStatus says whether pods get the annotation.
	NetworkStatus bool
}

const (
	// maxRequests is how many requests are under way at once.
	maxRequests = 4
	// requestLimit bounds one of them.
	requestLimit = 10 * time.Second
	// maxJobs bounds what is remembered, and maxAlike how many Events of one reason
	// a pod has: some 2 MB, and room for every pod of a large node.
	maxJobs, maxAlike = 1024, 8
	// firstRetry doubles with every failure in a row, up to lastRetry, or up to
	// lastDenied where the agent lacks the right.
	firstRetry, lastRetry, lastDenied = 250 * time.Millisecond, 30 * time.Second, 5 * time.Minute
)

// Reporter sends what it is told while Run runs. Its other methods may be called
// at any time from any goroutine, and return at once.
type Reporter struct {
	config Config
	wake   chan struct{} // one token: something may be due

	mu      sync.Mutex
	jobs    map[key]*entry
	failing bool // as was logged
	full    bool // something was left out, as was logged
}

// key tells apart what is sent; a pod's annotation has no reason.
type key struct {
	pod    model.PodRef
	reason Reason
	// detail tells several Events of one reason apart.
	detail string
}

// New makes a Reporter.
func New(config Config) *Reporter {
	return &Reporter{config: config, wake: make(chan struct{}, 1), jobs: map[key]*entry{}}
}

// Run sends until ctx ends. What was not sent by then is lost: annotations are
// compared by the next agent, and what was refused is refused again.
func (r *Reporter) Run(ctx context.Context) error {
	var requests errgroup.Group
	requests.SetLimit(maxRequests)
	idle := time.NewTimer(0)
	defer idle.Stop()
	for ctx.Err() == nil {
		k, e, pause := r.take(time.Now())
		if e != nil {
			requests.Go(func() error {
				r.send(ctx, k, e)
				return nil
			})
			continue
		}
		idle.Reset(pause)
		select {
		case <-r.wake:
		case <-idle.C:
		case <-ctx.Done():
		}
	}
	return requests.Wait()
}

func (r *Reporter) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

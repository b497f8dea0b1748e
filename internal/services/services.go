// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package services has the switch resolve Kubernetes services. It takes services,
// their endpoints, and which pods serve at a custom interface; package plan decides
// what that comes to; and a loop hands what changed to the dataplane, all that has
// come together at once, tries again what failed, and compares everything when it
// starts, in intervals, and when the dataplane says that something may have changed.
package services

import (
	"log/slog"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// Config is what a Resolver is made of.
type Config struct {
	Log *slog.Logger
	// Driver is used by nobody else.
	Driver dataplane.Services
	Node   plan.Services
	// RepairInterval is how often everything is compared; positive.
	RepairInterval time.Duration
	// Refused is told of what a service asks for and does not get, once, and again
	// when that changes, and when its first endpoint comes to this node. It returns at
	// once. Nil is for nobody.
	Refused func(plan.ResolvedService)
}

// Resolver has services resolved while Run runs. All other methods may be called at
// any time from any goroutine, and return at once.
type Resolver struct {
	config Config
	wake   chan struct{} // one token: there may be work
	look   chan struct{} // one token: the dataplane may have changed
	synced chan struct{} // closed by Synced
	needed chan struct{} // closed once services matter

	mu       sync.Mutex
	resolver *resolver
	// differs has the keys by which what the dataplane has may be other than what
	// there should be.
	differs  map[desired.ServiceKey]bool
	isSynced bool
	observed bool // it is known what the dataplane had at first
	isNeeded bool
	failing  error // of the last attempt
}

// localSource is what the sources of redirects begin with that are this node's own;
// it sorts before those of the cluster.
const localSource = "!"

// LocalSource is the source of what an attachment of this node says of its pod: it
// counts before what the cluster says.
func LocalSource(id model.AttachmentID) string { return localSource + id.String() }

// New makes a Resolver.
func New(config Config) *Resolver {
	var unserved func(desired.Service) error
	if limits, ok := config.Driver.(dataplane.ServiceLimits); ok {
		unserved = limits.Unserved
	}
	r := &Resolver{
		config: config, resolver: newResolver(config.Node, unserved), differs: map[desired.ServiceKey]bool{},
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1),
		synced: make(chan struct{}), needed: make(chan struct{}),
	}
	if config.Node.All {
		r.need()
	}
	return r
}

// Needed is closed once services and their endpoints matter: with the first pod that
// serves at a custom interface, or at once where every service is resolved.
func (r *Resolver) Needed() <-chan struct{} { return r.needed }

// need is called with r.mu held, or before anybody else knows r.
func (r *Resolver) need() {
	if !r.isNeeded {
		r.isNeeded = true
		close(r.needed)
	}
}

// PutService takes a service as it is now.
func (r *Resolver) PutService(s model.Service) { r.change(func(v *resolver) { v.putService(s) }) }

// DeleteService forgets a service.
func (r *Resolver) DeleteService(ref model.ServiceRef) {
	r.change(func(v *resolver) { v.deleteService(ref) })
}

// PutSlice takes a part of a service's endpoints as it is now.
func (r *Resolver) PutSlice(name model.SliceName, s model.EndpointSlice) {
	r.change(func(v *resolver) { v.putSlice(name, s) })
}

// DeleteSlice forgets a part of a service's endpoints.
func (r *Resolver) DeleteSlice(name model.SliceName) {
	r.change(func(v *resolver) { v.deleteSlice(name) })
}

// PutRedirect takes where a pod serves, as a source that has a name of its own
// tells.
func (r *Resolver) PutRedirect(source string, to model.Redirect) {
	r.change(func(v *resolver) {
		v.putRedirect(source, to)
		r.need()
	})
}

// DeleteRedirect forgets what a source told of a pod.
func (r *Resolver) DeleteRedirect(source string, pod model.PodRef) {
	r.change(func(v *resolver) { v.deleteRedirect(source, pod) })
}

// Synced is called once every service and endpoint that there is was put. Nothing
// is changed in the dataplane before.
func (r *Resolver) Synced() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isSynced {
		r.isSynced = true
		close(r.synced)
	}
}

// Recheck has everything compared with the dataplane, which may have changed
// without our doing.
func (r *Resolver) Recheck() { notify(r.look) }

// Failing is why the dataplane does not have the services as it should; nil while
// it has.
func (r *Resolver) Failing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failing
}

func (r *Resolver) change(of func(*resolver)) {
	r.mu.Lock()
	of(r.resolver)
	r.mu.Unlock()
	notify(r.wake)
}

func notify(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

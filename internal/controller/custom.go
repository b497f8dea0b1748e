// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/custom"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
)

// Publisher is what a CustomConfiguration needs of publish.Publisher.
type Publisher interface {
	Publish(ctx context.Context, c store.Claim) error
	Set(c store.Claim)
	Withdraw(ref store.Ref)
	Restored()
	State(ref store.Ref) (publish.State, error)
}

// again is when an object is looked at again whose items are not all in etcd. The
// publisher tries on its own; this is for what the status says.
const again = 5 * time.Second

// customConfigurations reconciles them: it claims their items for them, and says
// what became of the claims. What is in etcd is the publisher's to write, to repair
// and to remove.
//
// An object that cannot be understood claims nothing new: what it had claimed
// before stays, as a mistake should not end what works. After a restart that is not
// known any more, but recorded in etcd; so nothing is removed that nobody claims
// before every object is understood.
type customConfigurations struct {
	log       *slog.Logger
	client    client.Client
	form      ligato.Form
	etcd      bool // whether there is one to be reached
	publisher Publisher
	// ready is closed once there is a publisher, and every object has claimed.
	ready chan struct{}

	mu       sync.Mutex
	unready  error // why there is no publisher yet
	claims   map[types.NamespacedName]map[string]version
	invalid  map[types.NamespacedName]bool
	restored bool
}

// version is of an object.
type version struct {
	uid        types.UID
	generation int64
}

func of(c *v1.CustomConfiguration) version { return version{c.UID, c.Generation} }

// Reconcile implements reconcile.Reconciler.
func (r *customConfigurations) Reconcile(ctx context.Context, q ctrl.Request) (ctrl.Result, error) {
	c := &v1.CustomConfiguration{}
	err := r.client.Get(ctx, q.NamespacedName, c)
	gone := apierrors.IsNotFound(err) || err == nil && !c.DeletionTimestamp.IsZero()
	if err != nil && !gone {
		return ctrl.Result{}, fmt.Errorf("read: %w", err)
	}
	if !r.etcd {
		if gone {
			return ctrl.Result{}, nil // it has nothing anywhere
		}
		return ctrl.Result{}, r.tell(ctx, c, refused(errNoEtcd))
	}
	if waits, reason := r.waits(); waits {
		result := ctrl.Result{RequeueAfter: again / 5}
		if gone || reason == nil {
			return result, nil
		}
		return result, r.tell(ctx, c, refused(reason))
	}
	if gone {
		r.forget(q.NamespacedName)
		return ctrl.Result{}, nil
	}
	return r.publishAll(ctx, c)
}

// publishAll has everything that an object wants published, and says what became
// of it.
func (r *customConfigurations) publishAll(ctx context.Context, c *v1.CustomConfiguration) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(c)
	parts, wrong := custom.Convert(&c.Spec, r.form)
	if len(wrong) > 0 {
		r.notUnderstood(name)
		o := refused(invalidError{wrong})
		o.stays = r.hasClaimed(name)
		return ctrl.Result{}, r.tell(ctx, c, o)
	}
	r.withdraw(name, parts)
	var o outcome
	for _, p := range parts {
		switch state, err := r.claim(ctx, c, p); {
		case ctx.Err() != nil:
			return ctrl.Result{}, ctx.Err()
		case err != nil:
			o.errs = append(o.errs, err)
		case state == publish.Published:
			o.written = append(o.written, p)
		default:
			o.pending = true
		}
	}
	r.understood(name)
	result := ctrl.Result{}
	if len(o.errs) > 0 || o.pending {
		result.RequeueAfter = again
	}
	if o.pending && len(o.errs) == 0 {
		result.RequeueAfter = again / 5 // it is about to be known
		return result, nil
	}
	return result, r.tell(ctx, c, o)
}

// waits reports whether there is no publisher yet, and why, where that is known.
func (r *customConfigurations) waits() (bool, error) {
	select {
	case <-r.ready:
		return false, nil
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return true, r.unready
}

// claim has the publisher write a part, where it has not been asked before, and
// tells how that stands.
func (r *customConfigurations) claim(ctx context.Context, c *v1.CustomConfiguration, p custom.Part) (publish.State, error) {
	name := client.ObjectKeyFromObject(c)
	r.mu.Lock()
	last, known := r.claims[name][p.Label]
	r.claimed(name, p.Label, of(c))
	r.mu.Unlock()
	made := claim(c, p)
	if known && last == of(c) {
		state, err := r.publisher.State(made.Ref())
		if state != publish.Absent {
			return state, err
		}
	}
	if err := r.publisher.Publish(ctx, made); err != nil {
		return publish.Failing, err
	}
	return publish.Published, nil
}

func (r *customConfigurations) hasClaimed(name types.NamespacedName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.claims[name]) > 0
}

// claimed notes what an object has claimed; r.mu is held.
func (r *customConfigurations) claimed(name types.NamespacedName, label string, v version) {
	if r.claims[name] == nil {
		r.claims[name] = map[string]version{}
	}
	r.claims[name][label] = v
}

func claim(c *v1.CustomConfiguration, p custom.Part) store.Claim {
	owner := store.Owner{Kind: store.Custom, Namespace: c.Namespace, Name: c.Name, UID: string(c.UID)}
	return store.Claim{Owner: owner, Label: p.Label, Items: p.Items}
}

// withdraw gives up what an object claimed and that is not in its parts.
func (r *customConfigurations) withdraw(name types.NamespacedName, parts []custom.Part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for label := range r.claims[name] {
		kept := false
		for _, p := range parts {
			kept = kept || p.Label == label
		}
		if !kept {
			r.publisher.Withdraw(store.CustomRef(label, name.Namespace, name.Name))
			delete(r.claims[name], label)
		}
	}
}

// forget gives up everything of an object that is gone.
func (r *customConfigurations) forget(name types.NamespacedName) {
	r.withdraw(name, nil)
	r.mu.Lock()
	delete(r.claims, name)
	r.mu.Unlock()
	r.understood(name)
}

// notUnderstood notes that an object cannot be converted.
func (r *customConfigurations) notUnderstood(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.invalid[name] = true
}

// understood notes that an object can be converted, or is gone. Once all can be,
// what etcd has beside them may go.
func (r *customConfigurations) understood(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.invalid, name)
	if len(r.invalid) == 0 && !r.restored {
		r.restored = true
		r.publisher.Restored()
	}
}

// restore has every object claim what it wants, before anything is compared.
func (r *customConfigurations) restore(ctx context.Context) error {
	var list v1.CustomConfigurationList
	if err := r.client.List(ctx, &list); err != nil {
		return fmt.Errorf("list CustomConfigurations: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range list.Items {
		c := &list.Items[n]
		if !c.DeletionTimestamp.IsZero() {
			continue
		}
		name := client.ObjectKeyFromObject(c)
		parts, wrong := custom.Convert(&c.Spec, r.form)
		if len(wrong) > 0 {
			r.invalid[name] = true
			continue
		}
		for _, p := range parts {
			r.publisher.Set(claim(c, p))
			r.claimed(name, p.Label, of(c))
		}
	}
	if len(r.invalid) == 0 {
		r.restored = true
		r.publisher.Restored()
	}
	close(r.ready)
	return nil
}

// errNoEtcd is why nothing can be written.
var errNoEtcd = errors.New("there is no etcd to write to: set etcd.endpoints in the configuration")

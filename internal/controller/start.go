// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/store"
)

// Etcd makes a store. It may fail while etcd is away, and is tried again then.
type Etcd func(context.Context) (s *store.Store, closeStore func() error, err error)

// atOnce is how many objects are seen to at the same time: each may wait for etcd.
const atOnce = 4

// Changes of claims that wait to be told at most; the publisher waits for room.
const maxChanges = 1024

func addCustomConfigurations(mgr ctrl.Manager, c Config) error {
	r := &customConfigurations{
		log: c.Log, client: mgr.GetClient(), form: c.KeyForm, etcd: c.Etcd != nil,
		ready:  make(chan struct{}),
		claims: map[types.NamespacedName]map[string]version{}, invalid: map[types.NamespacedName]bool{},
	}
	changes := make(chan event.GenericEvent, maxChanges)
	if c.Etcd != nil {
		err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return r.publish(ctx, c.Etcd, changes) }))
		if err != nil {
			return err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("customconfiguration").
		For(&v1.CustomConfiguration{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(changes, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce}).
		Complete(r)
}

// publish runs the publisher, while this process leads.
func (r *customConfigurations) publish(ctx context.Context, etcd Etcd, changes chan<- event.GenericEvent) error {
	s, closeStore, err := r.connect(ctx, etcd)
	if err != nil {
		return nil // ctx ended, which is how it ends
	}
	defer func() {
		if err := closeStore(); err != nil {
			r.log.DebugContext(ctx, "close etcd", slog.Any("error", err))
		}
	}()
	p := publish.New(publish.Config{
		Log: r.log, Store: s, Kind: store.Custom,
		// A pod's keys are its agent's to remove, also those of one that died.
		IsAlive: func(context.Context, store.Owner) (bool, error) { return true, nil },
		Problem: func(o store.Owner, _ error) {
			c := &v1.CustomConfiguration{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}}
			select {
			case changes <- event.GenericEvent{Object: c}:
			case <-ctx.Done():
			}
		},
	})
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { ended <- p.Run(ctx) }()
	r.publisher = p
	if err := r.restore(ctx); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	return <-ended
}

// connect makes the store, however long that takes; the error is ctx's.
func (r *customConfigurations) connect(ctx context.Context, etcd Etcd) (*store.Store, func() error, error) {
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	for {
		s, closeStore, err := etcd(ctx)
		if err == nil {
			return s, closeStore, nil
		}
		r.mu.Lock()
		r.unready = err
		r.mu.Unlock()
		r.log.WarnContext(ctx, "etcd", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

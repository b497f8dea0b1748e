// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/model"
)

// RunServices tells sink of the cluster's services, of their endpoints, and of
// where pods serve that do so at a custom interface, until the context ends.
// What sink does not get while the API server is away stays as it was.
func (k *Kubernetes) RunServices(ctx context.Context, sink ServiceSink, o ServiceOptions) error {
	var feeds sync.WaitGroup
	defer feeds.Wait()
	redirects := newOnce()
	feeds.Go(func() {
		k.client.EndpointSlices(redirectsOnly).Follow(ctx, &redirectFeed{
			sink: sink, reached: func(err error) { o.Reached("redirects", err) }, synced: redirects.reach, told: map[model.SliceName]model.PodRef{},
		})
	})
	if !redirects.await(ctx) {
		return nil
	}
	select {
	case <-o.Needed:
	default:
		sink.Synced()
		select {
		case <-o.Needed:
		case <-ctx.Done():
			return nil
		}
	}
	endpoints, services := newOnce(), newOnce()
	feeds.Go(func() {
		f := newFeed(endpoints, func(err error) { o.Reached("endpoint slices", err) }, func(s *discoveryv1.EndpointSlice) { sink.PutSlice(sliceNameOf(s), ModelSlice(s)) },
			func(name model.SliceName) { sink.DeleteSlice(name) })
		k.client.EndpointSlices(slicesOnly).Follow(ctx, f)
	})
	// A service without its endpoints would refuse those who ask for it.
	if !endpoints.await(ctx) {
		return nil
	}
	feeds.Go(func() {
		f := newFeed(services, func(err error) { o.Reached("services", err) }, func(s *corev1.Service) { sink.PutService(ModelService(s)) },
			func(name model.SliceName) { sink.DeleteService(model.ServiceRef(name)) })
		k.client.Services(servicesOnly).Follow(ctx, f)
	})
	if services.await(ctx) {
		sink.Synced()
	}
	return nil
}

// once is reached once.
type once struct {
	reached chan struct{}
	sync.Once
}

func newOnce() *once { return &once{reached: make(chan struct{})} }

func (o *once) reach() { o.Do(func() { close(o.reached) }) }

// await reports false where ctx ends first.
func (o *once) await(ctx context.Context) bool {
	select {
	case <-o.reached:
		return true
	case <-ctx.Done():
		return false
	}
}

// object is what the feeds are of.
type object interface{ metav1.Object }

func sliceNameOf(o object) model.SliceName {
	return model.SliceName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// feed passes objects on. Of what came it keeps the names.
type feed[T object] struct {
	synced  *once
	reached func(error)
	put     func(T)
	gone    func(model.SliceName)
	told    map[model.SliceName]struct{}
}

func newFeed[T object](synced *once, reached func(error), put func(T), gone func(model.SliceName)) *feed[T] {
	return &feed[T]{synced: synced, reached: reached, put: put, gone: gone, told: map[model.SliceName]struct{}{}}
}

// Listed implements kube.Sink, as do the other methods.
func (f *feed[T]) Listed(objects []T) {
	there := make(map[model.SliceName]struct{}, len(objects))
	for _, o := range objects {
		there[sliceNameOf(o)] = struct{}{}
	}
	for name := range f.told {
		if _, is := there[name]; !is {
			f.gone(name)
		}
	}
	f.told = there
	for _, o := range objects {
		f.put(o)
	}
	f.synced.reach()
}

func (f *feed[T]) Put(o T) {
	f.told[sliceNameOf(o)] = struct{}{}
	f.put(o)
}

func (f *feed[T]) Deleted(o T) {
	delete(f.told, sliceNameOf(o))
	f.gone(sliceNameOf(o))
}

func (f *feed[T]) Reached(err error) { f.reached(err) }

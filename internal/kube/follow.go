// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// The pauses between attempts: each is twice the one before, and somewhere
// between half of that and all of it, so that the agents of a cluster do not come
// all at once.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 15 * time.Second
)

// A watch is ended by the API server after a time that is different for each,
// and then begun again where it ended.
const (
	minWatch = 5 * time.Minute
	maxWatch = 10 * time.Minute
)

// steady is how long a watch lasts that is not one of a row of failures.
const steady = 10 * time.Second

// Sink takes what is followed. It is called from one goroutine, one call at a
// time.
type Sink[T any] interface {
	// Listed tells of everything there is: what is not in it is gone.
	Listed(objects []T)
	// Put tells of an object that is new or has changed, or of one that Listed
	// told of in a later state, or in the same.
	Put(object T)
	Deleted(object T)
	// Reached tells whether the API server answers: the error is why it does not.
	// It may be told the same again.
	Reached(err error)
}

// Feed is a choice of objects of one resource.
type Feed[T any] struct {
	api      rest.Interface
	resource string
	// fields and labels choose; empty is every one.
	fields, labels string
	// as is what the objects are to be shown as, "" for as they are.
	as string
}

// PodsOf are the pods of a node. Only their metadata is asked for, which is all
// that polynic's interfaces depend on: a pod with its containers and its status
// is about five times as much.
func (c *Client) PodsOf(node string) *Feed[*metav1.PartialObjectMetadata] {
	return &Feed[*metav1.PartialObjectMetadata]{
		api: c.core, resource: pods, fields: "spec.nodeName=" + node, as: "PartialObjectMetadata",
	}
}

// NodeNamed is one node, or none while there is no such node.
func (c *Client) NodeNamed(name string) *Feed[*corev1.Node] {
	return &Feed[*corev1.Node]{api: c.core, resource: nodes, fields: "metadata.name=" + name}
}

// Services are all services of the cluster that the labels choose.
func (c *Client) Services(labels string) *Feed[*corev1.Service] {
	return &Feed[*corev1.Service]{api: c.core, resource: services, labels: labels}
}

// EndpointSlices are all endpoint slices of the cluster that the labels choose.
func (c *Client) EndpointSlices(labels string) *Feed[*discoveryv1.EndpointSlice] {
	return &Feed[*discoveryv1.EndpointSlice]{api: c.discovery, resource: endpointSlices, labels: labels}
}

// Follow tells sink of the objects that there are, and of every change, until ctx
// ends. Where the connection is lost it goes on after the last change that was
// told; where the API server does not remember that any more, everything is
// listed again.
func (f *Feed[T]) Follow(ctx context.Context, sink Sink[T]) {
	state := position{listFrom: anyVersion}
	pause := firstPause
	for ctx.Err() == nil {
		began, watched := time.Now(), state.watchFrom != ""
		err := f.advance(ctx, &state, sink)
		if ctx.Err() != nil {
			return
		}
		// That a list succeeds says nothing: the watch after it may fail each time.
		if watched && err == nil || time.Since(began) > steady {
			pause = firstPause
		}
		if isLost(err) {
			state.forget()
			sink.Reached(nil)
		} else {
			sink.Reached(err)
		}
		if err == nil {
			continue
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// The versions that a list may be asked for (Kubernetes API concepts, "Resource
// versions"): anyVersion is what the API server has at hand, latest what is in
// its store, anything else that or later.
const (
	anyVersion = "0"
	latest     = ""
)

// position is how far a feed is followed.
type position struct {
	// watchFrom is the version after which changes have not been told yet; empty
	// where everything has to be listed first.
	watchFrom string
	listFrom  string
}

// forget has everything listed again: the version is not known to the API server,
// because it is too old, or too new for it.
func (p *position) forget() {
	if p.watchFrom == "" {
		p.listFrom = latest
		return
	}
	// At least as new as what was told, which need not come from the store.
	p.listFrom, p.watchFrom = p.watchFrom, ""
}

// advance lists where that is needed, or watches for as long as that goes well.
func (f *Feed[T]) advance(ctx context.Context, at *position, sink Sink[T]) error {
	var err error
	if at.watchFrom == "" {
		err = f.list(ctx, at, sink)
	} else {
		err = f.watch(ctx, at, sink)
	}
	return wrap("follow "+f.resource, err)
}

// isLost reports whether the API server cannot go on from a version.
func isLost(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

func (f *Feed[T]) list(ctx context.Context, at *position, sink Sink[T]) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request := f.request("List").Param("resourceVersion", at.listFrom)
	if at.listFrom != latest {
		request.Param("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
	}
	list, err := request.Do(ctx).Get()
	if err != nil {
		return err
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	var objects []T
	err = meta.EachListItem(list, func(o runtime.Object) error {
		object, err := convert[T](o)
		objects = append(objects, object)
		return err
	})
	if err != nil {
		return err
	}
	if at.watchFrom = accessor.GetResourceVersion(); at.watchFrom == "" {
		return errNoVersion
	}
	sink.Listed(objects)
	return nil
}

func (f *Feed[T]) watch(ctx context.Context, at *position, sink Sink[T]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	limit := minWatch + rand.N(maxWatch-minWatch)
	changes, err := f.request("").
		Param("watch", "true").
		Param("allowWatchBookmarks", "true").
		Param("resourceVersion", at.watchFrom).
		Param("timeoutSeconds", fmt.Sprint(int(limit.Seconds()))).
		MaxRetries(0). // Follow does that
		Watch(ctx)
	if err != nil {
		return err
	}
	defer changes.Stop()
	sink.Reached(nil)
	told := false
	for change := range changes.ResultChan() {
		if err := tell(change, at, sink); err != nil {
			return err
		}
		told = true
	}
	if !told && time.Since(began) < steady {
		return errCut
	}
	return nil
}

func tell[T any](change watch.Event, at *position, sink Sink[T]) error {
	if change.Type == watch.Error {
		return apierrors.FromObject(change.Object)
	}
	object, err := convert[T](change.Object)
	if err != nil {
		return err
	}
	switch change.Type {
	case watch.Added, watch.Modified:
		sink.Put(object)
	case watch.Deleted:
		sink.Deleted(object)
	case watch.Bookmark, watch.Error:
	}
	accessor, err := meta.Accessor(change.Object)
	if err != nil {
		return err
	}
	at.watchFrom = accessor.GetResourceVersion()
	return nil
}

func convert[T any](o runtime.Object) (T, error) {
	object, ok := o.(T)
	if !ok {
		return object, fmt.Errorf("the API server sent %T", o)
	}
	return object, nil
}

// request asks for the feed's objects, as a list or one by one.
func (f *Feed[T]) request(form string) *rest.Request {
	request := f.api.Get().Resource(f.resource)
	if f.fields != "" {
		request.Param("fieldSelector", f.fields)
	}
	if f.labels != "" {
		request.Param("labelSelector", f.labels)
	}
	if f.as != "" {
		as := ";as=" + f.as + form + ";g=" + metav1.GroupName + ";v=" + metav1.SchemeGroupVersion.Version
		request.SetHeader("Accept", protobuf+as+","+json+as)
	}
	return request
}

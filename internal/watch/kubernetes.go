// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/model"
)

// readLimit is how long one read of the API server may take. An ADD waits for it,
// and for ADD kubelet has two minutes in all.
const readLimit = 5 * time.Second

// Kubernetes takes the pods of one node from the API server, and the node itself.
type Kubernetes struct {
	client  *kube.Client
	node    string
	reached func(error)
}

// NewKubernetes makes a source of the node's pods. Where it is followed, reached is
// told whether the API server answers (nil) or why it does not, the same again and
// again, from any goroutine.
func NewKubernetes(client *kube.Client, node string, reached func(error)) *Kubernetes {
	return &Kubernetes{client: client, node: node, reached: reached}
}

// Run tells sink of the node's pods and of every change until the context ends,
// and then returns nil. While the API server is away nothing is told, so that what
// was told before stays.
func (k *Kubernetes) Run(ctx context.Context, sink Sink) error {
	k.client.PodsOf(k.node).Follow(ctx, &podFeed{sink: sink, reached: k.reached, told: map[podName]model.Pod{}})
	return nil
}

// Get reads one pod from the API server, within some seconds; it reports whether
// it is there. A reference with a UID does not match a pod with another one. The
// error, which does not name the pod, says why it cannot be told. Safe for
// concurrent use.
func (k *Kubernetes) Get(ctx context.Context, ref model.PodRef) (model.Pod, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	pod, found, err := k.client.Pod(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return model.Pod{}, false, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if !found {
		return model.Pod{}, false, nil
	}
	known := ModelPod(pod)
	known.Addresses = candidateOf(pod).addresses
	if ref.UID != "" && ref.UID != known.Ref.UID {
		return model.Pod{}, false, nil
	}
	return known, true, nil
}

// podFeed tells a sink what is new for it. Of the objects that come nothing is kept
// but what they ask for.
type podFeed struct {
	sink    Sink
	reached func(error)
	told    map[podName]model.Pod
	synced  bool
}

// Listed implements kube.Sink, as do the other methods.
func (f *podFeed) Listed(objects []*metav1.PartialObjectMetadata) {
	there := map[podName]bool{}
	for _, o := range objects {
		there[podName{o.Namespace, o.Name}] = true
	}
	for name := range f.told {
		if !there[name] {
			f.forget(name)
		}
	}
	for _, o := range objects {
		f.Put(o)
	}
	if !f.synced {
		f.synced = true
		f.sink.Synced()
	}
}

func (f *podFeed) Put(o *metav1.PartialObjectMetadata) {
	pod := modelPod(&o.ObjectMeta)
	name := nameOf(pod.Ref)
	was, known := f.told[name]
	if known && reflect.DeepEqual(was, pod) {
		return
	}
	if known && was.Ref != pod.Ref {
		f.forget(name)
	}
	f.told[name] = pod
	f.sink.PutPod(pod)
}

func (f *podFeed) Deleted(o *metav1.PartialObjectMetadata) {
	f.forget(podName{o.Namespace, o.Name})
}

func (f *podFeed) Reached(err error) { f.reached(err) }

func (f *podFeed) forget(name podName) {
	if was, known := f.told[name]; known {
		delete(f.told, name)
		f.sink.DeletePod(was.Ref)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package kube speaks with the API server of a Kubernetes cluster: it reads and
// follows pods and nodes, services and their endpoints, annotates pods, and tells
// of events. It knows these five types and no others, which keeps the agent small:
// the usual client knows every type that there is
// (docs/decisions/0015-a-small-client.md).
//
// What the API server must allow for it is in docs/configuration.md.
package kube

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// patience is how long one request may take, beside those that follow; its
// caller may have less.
const patience = 30 * time.Second

// Client speaks with one API server. All methods are safe for concurrent use.
// Errors are those of the API server (k8s.io/apimachinery/pkg/api/errors tells
// them apart) or of the connection.
type Client struct {
	core, discovery rest.Interface
	// connections are those of both.
	connections *http.Client
}

// Pod reads a pod as it is now; it reports whether it is there.
func (c *Client) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, bool, error) {
	pod := &corev1.Pod{}
	found, err := c.get(ctx, c.core.Get().Namespace(namespace).Resource(pods).Name(name), pod)
	return pod, found, err
}

// Node reads a node as it is now; it reports whether it is there.
func (c *Client) Node(ctx context.Context, name string) (*corev1.Node, bool, error) {
	node := &corev1.Node{}
	found, err := c.get(ctx, c.core.Get().Resource(nodes).Name(name), node)
	return node, found, err
}

// PatchPodStatus merges a patch (RFC 7396) into a pod by way of its status:
// annotations, labels and the status can be changed so, and nothing else of it.
// With {"metadata": {"uid": …}} in it, a pod that has the name by now and is
// another is refused (apierrors.IsInvalid: the field is immutable).
func (c *Client) PatchPodStatus(ctx context.Context, namespace, name string, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.core.Patch(types.MergePatchType).Namespace(namespace).Resource(pods).Name(name).
		SubResource("status").Body(patch).Do(ctx).Error()
	return wrap("patch pod "+namespace+"/"+name, err)
}

// CreateEvent adds an event to those of its namespace, and gives it as the API
// server has it.
func (c *Client) CreateEvent(ctx context.Context, event *corev1.Event) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	made := &corev1.Event{}
	err := c.core.Post().Namespace(event.Namespace).Resource(events).Body(event).Do(ctx).Into(made)
	return made, wrap("create an event in "+event.Namespace, err)
}

// PatchEvent merges a patch (RFC 7396) into an event: that it happened again.
func (c *Client) PatchEvent(ctx context.Context, namespace, name string, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.core.Patch(types.MergePatchType).Namespace(namespace).Resource(events).Name(name).
		Body(patch).Do(ctx).Error()
	return wrap("patch event "+namespace+"/"+name, err)
}

// CreateEndpointSlice adds an endpoint slice to those of its namespace.
func (c *Client) CreateEndpointSlice(ctx context.Context, slice *discoveryv1.EndpointSlice) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.discovery.Post().Namespace(slice.Namespace).Resource(endpointSlices).Body(slice).Do(ctx).Error()
	return wrap("create endpoint slice "+slice.Namespace+"/"+slice.Name, err)
}

// PatchEndpointSlice merges a patch (RFC 7396) into an endpoint slice.
func (c *Client) PatchEndpointSlice(ctx context.Context, namespace, name string, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.discovery.Patch(types.MergePatchType).Namespace(namespace).Resource(endpointSlices).Name(name).
		Body(patch).Do(ctx).Error()
	return wrap("patch endpoint slice "+namespace+"/"+name, err)
}

// DeleteEndpointSlice deletes an endpoint slice; that it is gone is no error.
func (c *Client) DeleteEndpointSlice(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.discovery.Delete().Namespace(namespace).Resource(endpointSlices).Name(name).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return wrap("delete endpoint slice "+namespace+"/"+name, err)
}

func (*Client) get(ctx context.Context, request *rest.Request, into runtime.Object) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := request.Do(ctx).Into(into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

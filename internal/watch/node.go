// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/model"
)

// NodeIDAnnotation numbers a node's share of the pod network, where the cluster
// gives the node no ranges.
const NodeIDAnnotation = "contivpp.io/node-id"

// ModelNode is what polynic needs to know of a node. The error names the field that
// makes no sense.
func ModelNode(node *corev1.Node) (model.Node, error) {
	var n model.Node
	ranges := node.Spec.PodCIDRs
	if len(ranges) == 0 && node.Spec.PodCIDR != "" {
		ranges = []string{node.Spec.PodCIDR}
	}
	for _, text := range ranges {
		r, err := netip.ParsePrefix(text)
		if err != nil {
			return n, fmt.Errorf("spec.podCIDRs of the node: %w", err)
		}
		n.PodRanges = append(n.PodRanges, r)
	}
	if text, ok := node.Annotations[NodeIDAnnotation]; ok {
		id, err := strconv.Atoi(text)
		if err != nil || id < 1 {
			return n, fmt.Errorf("annotation %s of the node: %q is not a number from 1", NodeIDAnnotation, text)
		}
		n.ID = id
	}
	return n, nil
}

// Node reads the node as it is now, within some seconds.
func (k *Kubernetes) Node(ctx context.Context) (model.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	node, found, err := k.client.Node(ctx, k.node)
	if err != nil {
		return model.Node{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if !found {
		return model.Node{}, k.noNode()
	}
	return ModelNode(node)
}

// RunNode tells of the node whenever it may have changed, or of why nothing is known
// of it now, until the context ends.
func (k *Kubernetes) RunNode(ctx context.Context, tell func(model.Node, error)) {
	k.client.NodeNamed(k.node).Follow(ctx, &nodeFeed{source: k, tell: tell})
}

func (k *Kubernetes) noNode() error {
	return fmt.Errorf("node %s: %w (is nodeName the name that kubelet registered?)", k.node, errNoNode)
}

// nodeFeed passes a node on.
type nodeFeed struct {
	source *Kubernetes
	tell   func(model.Node, error)

	last   model.Node
	wrong  error // with the last
	isAway bool
}

// Listed implements kube.Sink, as do the other methods.
func (f *nodeFeed) Listed(nodes []*corev1.Node) {
	if len(nodes) == 0 {
		f.Deleted(nil)
	}
	for _, n := range nodes {
		f.Put(n)
	}
}

func (f *nodeFeed) Put(node *corev1.Node) {
	f.last, f.wrong = ModelNode(node)
	f.tell(f.last, f.wrong)
}

func (f *nodeFeed) Deleted(*corev1.Node) {
	f.last, f.wrong = model.Node{}, f.source.noNode()
	f.tell(f.last, f.wrong)
}

func (f *nodeFeed) Reached(err error) {
	switch {
	case err != nil:
		f.tell(model.Node{}, fmt.Errorf("%w: %w", ErrAway, err))
	case f.isAway:
		f.tell(f.last, f.wrong)
	}
	f.isAway = err != nil
}

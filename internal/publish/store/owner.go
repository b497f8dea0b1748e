// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// Kind is what sort of owner claims keys.
type Kind string

// The kinds.
const (
	// Pod is a pod with the label. A label has one.
	Pod Kind = "pod"
	// Custom is a CustomConfiguration. A label may have many.
	Custom Kind = "custom"
)

// Owner is whose keys are. It is what a record in etcd says of an owner, and
// holds no secret.
type Owner struct {
	Kind Kind
	// Node is where the pod is; empty for a CustomConfiguration, which is the
	// cluster's.
	Node            string
	Namespace, Name string
	// UID is that of the pod's, or the CustomConfiguration's, object; a pod's may be
	// empty where the runtime did not tell it.
	UID string
	// Attachment is the pod's sandbox; zero for a CustomConfiguration.
	Attachment model.AttachmentID
}

// String names the owner as people know it.
func (o Owner) String() string {
	switch o.Kind {
	case Custom:
		return "CustomConfiguration " + o.Namespace + "/" + o.Name
	case Pod:
	}
	text := "pod " + model.PodRef{Namespace: o.Namespace, Name: o.Name}.String()
	if o.Node != "" {
		text += " on node " + o.Node
	}
	return text
}

// same reports whether both are one: the same CustomConfiguration; the same
// sandbox, or two of the same pod, of which the later replaced the earlier.
func (o Owner) same(p Owner) bool {
	if o.Kind != p.Kind {
		return false
	}
	named := o.Namespace == p.Namespace && o.Name == p.Name
	if o.Kind == Custom {
		return named
	}
	return o.Node == p.Node && (o.Attachment == p.Attachment || named && o.UID != "" && o.UID == p.UID)
}

// holds reports whether o, of a record, is p itself and not another sandbox of
// the same pod.
func (o Owner) holds(p Owner) bool { return o.same(p) && o.Attachment == p.Attachment }

// Alive tells whether an owner still exists, so that its keys must not be
// touched. An error is that it is not known. It is asked about pods alone, and
// with no lock held.
type Alive func(ctx context.Context, o Owner) (bool, error)

// Claim is what an owner wants to be in etcd under a label. Every key begins
// with ConfigPrefix of the label; none is there twice. The values are not altered
// once they are in a claim.
type Claim struct {
	Owner Owner
	// Label is the microservice label: one path element.
	Label string
	Items []ligato.Item
}

// Ref is the claim's name.
func (c Claim) Ref() Ref {
	if c.Owner.Kind == Custom {
		return CustomRef(c.Label, c.Owner.Namespace, c.Owner.Name)
	}
	return PodRef(c.Owner.Attachment)
}

// Keys lists the claim's keys in order.
func (c Claim) Keys() []string {
	keys := make([]string, len(c.Items))
	for i, item := range c.Items {
		keys[i] = item.Key
	}
	return keys
}

// Ref names a claim: a sandbox has at most one, a CustomConfiguration one for
// each label. It is comparable.
type Ref struct {
	kind                   Kind
	attachment             model.AttachmentID
	label, namespace, name string
}

// PodRef names the claim of a sandbox.
func PodRef(id model.AttachmentID) Ref { return Ref{kind: Pod, attachment: id} }

// CustomRef names the claim of a CustomConfiguration to a label.
func CustomRef(label, namespace, name string) Ref {
	return Ref{kind: Custom, label: label, namespace: namespace, name: name}
}

// String is the form for logs.
func (r Ref) String() string {
	if r.kind == Custom {
		return "CustomConfiguration " + r.namespace + "/" + r.name + " for " + r.label
	}
	return r.attachment.String()
}

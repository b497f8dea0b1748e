// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish/custom"
	"github.com/polynic/polynic/internal/publish/store"
)

// The most that a status has: of keys, and of the text of a message in bytes.
const (
	maxKeys    = 64
	maxMessage = 4096
)

// outcome is what became of a CustomConfiguration.
type outcome struct {
	written []custom.Part // those that are in etcd
	// stays is that what the object had in etcd before is there still.
	stays bool
	// errs are why the others are not. pending is set where that is not known yet.
	errs    []error
	pending bool
}

func refused(err error) outcome { return outcome{errs: []error{err}} }

// invalidError is that an object cannot be understood.
type invalidError struct{ errs field.ErrorList }

// Error gives every reason, with the field that it is about.
func (e invalidError) Error() string {
	texts := make([]string, len(e.errs))
	for i, err := range e.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// reason is the word for programs.
func (o *outcome) reason() string {
	if len(o.errs) == 0 {
		return v1.ReasonWritten
	}
	err := errors.Join(o.errs...)
	var invalid invalidError
	switch {
	case errors.As(err, &invalid), errors.Is(err, store.ErrInvalid):
		return v1.ReasonInvalid
	case errors.Is(err, errNoEtcd):
		return v1.ReasonNoEtcd
	case errors.Is(err, store.ErrTaken), errors.Is(err, store.ErrUnsure):
		return v1.ReasonTaken
	case errors.Is(err, store.ErrForbidden):
		return v1.ReasonForbidden
	case errors.Is(err, store.ErrTooLarge):
		return v1.ReasonTooLarge
	}
	return v1.ReasonEtcdAway
}

// message is the text for people. It has no value of an item.
func (o *outcome) message() string {
	var b strings.Builder
	for i, err := range o.errs {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	if len(o.written) > 0 && len(o.errs) > 0 {
		b.WriteString("; written: ")
	}
	if len(o.written) > 0 {
		b.WriteString(custom.Text(o.written))
	}
	if o.stays {
		b.WriteString("; what was written before stays")
	}
	text := b.String()
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + " ..."
	}
	return text
}

// status is the outcome as an object's status, from what it was.
func (o *outcome) status(before v1.CustomConfigurationStatus, generation int64) v1.CustomConfigurationStatus {
	after := *before.DeepCopy()
	after.Status, after.Message, after.ObservedGeneration = v1.Success, o.message(), generation
	after.Items, after.Keys = 0, nil
	for _, p := range o.written {
		after.Items += int32(p.Count)
		for _, i := range p.Items {
			if len(after.Keys) < maxKeys {
				after.Keys = append(after.Keys, i.Key)
			}
		}
	}
	condition := metav1.Condition{
		Type: v1.ConditionPublished, Status: metav1.ConditionTrue, Reason: o.reason(), Message: after.Message, ObservedGeneration: generation,
	}
	if len(o.errs) > 0 {
		after.Status, condition.Status = v1.Failure, metav1.ConditionFalse
	}
	meta.SetStatusCondition(&after.Conditions, condition)
	return after
}

// tell writes the outcome into the object's status, where that says something
// else.
func (r *customConfigurations) tell(ctx context.Context, c *v1.CustomConfiguration, o outcome) error {
	after := c.DeepCopy()
	after.Status = o.status(c.Status, c.Generation)
	if equality.Semantic.DeepEqual(c.Status, after.Status) {
		return nil
	}
	if err := r.client.Status().Patch(ctx, after, client.MergeFrom(c)); err != nil {
		return fmt.Errorf("write the status: %w", client.IgnoreNotFound(err))
	}
	return nil
}

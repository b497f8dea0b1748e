// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// outcome is what an API's error means for what was asked.
type outcome uint8

const (
	taken outcome = iota
	// passing: another attempt may succeed.
	passing
	// gone: the object is not there, or is another of its name.
	gone
	// exists: what is to be made is there already.
	exists
	// denied: the agent may not do that. So says an API server also that has just
	// started and knows no rights yet.
	denied
	// rejected: another attempt would be rejected again.
	rejected
)

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return taken
	case apierrors.IsNotFound(err), isOther(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return gone
	case apierrors.IsAlreadyExists(err):
		return exists
	case apierrors.IsForbidden(err):
		return denied
	case apierrors.IsBadRequest(err), apierrors.IsInvalid(err),
		apierrors.IsRequestEntityTooLargeError(err), apierrors.IsMethodNotSupported(err):
		return rejected
	default:
		return passing
	}
}

// isOther reports whether a patch was for an object of another UID. The API server
// takes that for an attempt to change the UID (ValidateObjectMetaAccessorUpdate in
// k8s.io/apimachinery), or calls it a conflict.
func isOther(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return false
	}
	if apierrors.IsConflict(err) {
		return strings.Contains(strings.ToLower(status.ErrStatus.Message), "uid")
	}
	if !apierrors.IsInvalid(err) || status.ErrStatus.Details == nil {
		return false
	}
	for _, cause := range status.ErrStatus.Details.Causes {
		if cause.Field == "metadata.uid" {
			return true
		}
	}
	return false
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

var (
	// errNoEtcd is why a pod with a microservice label is refused.
	errNoEtcd = model.Refusal("annotation " + podif.MicroserviceLabelAnnotation +
		" asks for configuration through etcd, and this node's agent has none (set etcd.endpoints in its configuration)")
	// errNotPublished is wrapped by errors about what waiting may help with.
	errNotPublished = errors.New("its interfaces are not published in etcd")
)

// Error is an error with the CNI code that tells the runtime what to make of
// it. Its text is one sentence for the person who reads `kubectl describe pod`.
type Error struct {
	Code cniwire.Code
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the CNI code of an error: its own where it has one, else
// CodeInternal; CodeNone for nil.
func CodeOf(err error) cniwire.Code {
	if err == nil {
		return cniwire.CodeNone
	}
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return cniwire.CodeInternal
}

func refusef(code cniwire.Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

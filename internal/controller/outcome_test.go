// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"testing"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish/store"
)

// TestReasons has programs told what users are: who has to do something about it.
func TestReasons(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, v1.ReasonWritten},
		{invalidError{}, v1.ReasonInvalid},
		{store.ErrInvalid, v1.ReasonInvalid},
		{errNoEtcd, v1.ReasonNoEtcd},
		{&store.TakenError{}, v1.ReasonTaken},
		{store.ErrUnsure, v1.ReasonTaken}, // by a pod that may be gone
		{store.ErrForbidden, v1.ReasonForbidden},
		{&store.TooLargeError{}, v1.ReasonTooLarge},
		{store.ErrAway, v1.ReasonEtcdAway},
		{errors.Join(store.ErrAway, store.ErrForbidden), v1.ReasonForbidden},
	} {
		var o outcome
		if test.err != nil {
			o = refused(fmt.Errorf("publish vnf1: %w", test.err))
		}
		if got := o.reason(); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

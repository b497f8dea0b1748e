// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
)

// What can be wrong, for errors.Is. No error holds a value.
var (
	// ErrAway is that etcd was not reached, or did not do what it was asked for a
	// reason that has nothing to do with the claim. The text has the reason.
	ErrAway = errors.New("etcd does not answer as it should")
	// ErrForbidden is that etcd does not let its user do what the claim needs.
	ErrForbidden = errors.New("forbidden")
	// ErrTaken is that a live owner has what another one claims; see TakenError.
	ErrTaken = errors.New("taken by another owner")
	// ErrTooLarge is that an item is larger than etcd takes, see TooLargeError; or that
	// there is more of a label than is read at once.
	ErrTooLarge = errors.New("too large for etcd")
	// ErrFull is that etcd is at its quota: it answers, and takes nothing more.
	ErrFull = errors.New("etcd has no room left")
	// ErrInvalid is that a claim cannot be written as it is, whatever etcd has.
	ErrInvalid = errors.New("not a claim")
	// ErrUnsure is that a claim wants what a pod has of which is not known whether it
	// still exists.
	ErrUnsure = errors.New("whether that pod still exists is not known")
	// errBusy is that others wrote under the label all the time.
	errBusy = errors.New("others keep writing under the label")
)

// TakenError says who has what By claims. It is ErrTaken.
type TakenError struct {
	Label string
	// Key is the key that both claim; empty where the whole label is taken, because
	// both are pods.
	Key       string
	By, Owner Owner
}

// Error names both owners.
func (e *TakenError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("the microservice label %q of %s is that of %s already; give one of them another label", e.Label, e.By, e.Owner)
	}
	return fmt.Sprintf("%s, which %s claims, is owned by %s", e.Key, e.By, e.Owner)
}

// Unwrap implements errors.Is for ErrTaken.
func (*TakenError) Unwrap() error { return ErrTaken }

// TooLargeError says which item is too large. It is ErrTooLarge.
type TooLargeError struct {
	Key string
	// Size is of the value, Limit what it may be, in bytes.
	Size, Limit int
}

// Error names the item and both sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("item %s: its value of %d bytes is larger than the %d that etcd takes", e.Key, e.Size, e.Limit)
}

// Unwrap implements errors.Is for ErrTooLarge.
func (*TooLargeError) Unwrap() error { return ErrTooLarge }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

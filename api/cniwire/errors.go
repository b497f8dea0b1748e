// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire

import (
	"errors"
	"strconv"
)

// ErrMalformed means that the bytes are no message of this protocol.
var ErrMalformed = errors.New("not a message of polynic's CNI protocol")

// ErrNotObject means that a document is not one JSON object.
var ErrNotObject = errors.New("not a JSON object")

// VersionError says that the other side speaks another protocol version.
type VersionError struct {
	Theirs uint16
}

// Error implements error.
func (e *VersionError) Error() string {
	return "the other side speaks protocol version " + strconv.Itoa(int(e.Theirs)) + ", this side version " + strconv.Itoa(Version)
}

// BoundError says that a part of a message is longer than it may be.
type BoundError struct {
	Field string
	Max   int // bytes
}

// Error implements error.
func (e *BoundError) Error() string {
	return e.Field + " is longer than " + strconv.Itoa(e.Max) + " bytes"
}

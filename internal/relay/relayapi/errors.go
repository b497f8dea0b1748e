// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"errors"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/openfiles"
)

// Sentinel errors. The relay sends their kind along, so that errors.Is gives
// the same answer on both sides of the socket.
var (
	// ErrAway means that the relay does not answer; the same call may succeed
	// later.
	ErrAway = errors.New("the relay does not answer")
	// ErrNetnsGone means that a network namespace is gone, or that its path
	// leads to another one now.
	ErrNetnsGone = netns.ErrGone
	// ErrTaken means that a device of that name exists which is not a
	// persistent tap of the wanted kind, or which somebody else has open.
	ErrTaken = errors.New("the device name is taken")
	// ErrFolderGone means that the folder for the socket of a memif is not there.
	ErrFolderGone = errors.New("the folder for the socket is gone")
)

// Error is an error in a message.
type Error struct {
	Kind errorKind `json:"kind,omitempty"`
	Text string    `json:"text"`
}

type errorKind string

const (
	kindNetnsGone  errorKind = "netns-gone"
	kindTaken      errorKind = "taken"
	kindFolderGone errorKind = "folder-gone"
	kindFiles      errorKind = "files" // openfiles.ErrLimit
)

// NewError turns an error into its message form; nil stays nil.
func NewError(err error) *Error {
	if err == nil {
		return nil
	}
	err = openfiles.Explain("polynic-relay", err)
	e := &Error{Text: err.Error()}
	switch {
	case errors.Is(err, ErrNetnsGone):
		e.Kind = kindNetnsGone
	case errors.Is(err, ErrTaken):
		e.Kind = kindTaken
	case errors.Is(err, ErrFolderGone):
		e.Kind = kindFolderGone
	case errors.Is(err, openfiles.ErrLimit):
		e.Kind = kindFiles
	}
	return e
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Unwrap gives the sentinel that the text already includes; a kind that this
// version does not know is a plain error.
func (e *Error) Unwrap() error {
	switch e.Kind {
	case kindNetnsGone:
		return ErrNetnsGone
	case kindTaken:
		return ErrTaken
	case kindFolderGone:
		return ErrFolderGone
	case kindFiles:
		return openfiles.ErrLimit
	default:
		return nil
	}
}

// asError avoids an error that holds a nil *Error.
func (e *Error) asError() error {
	if e == nil {
		return nil
	}
	return e
}

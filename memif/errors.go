// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"

	"github.com/polynic/polynic/memif/internal/shm"
)

// ErrUnsealed is wrapped, beside ErrRegion, by the refusal of a region whose
// owner could take the memory away. Config.AcceptUnsealed lets such regions in.
var ErrUnsealed = shm.ErrUnsealed

// Reason is why a connection was refused or has ended. Every such error of
// this package wraps one, so that errors.Is(err, memif.ErrSecret) tells, and
// Listener and Interface count by it. It goes to the peer as the code of
// DISCONNECT.
type Reason uint8

// Ends that are nobody's fault.
const (
	// ErrClosed: the interface or its listener was closed here.
	ErrClosed Reason = iota + 1
	// ErrPeerGone: the control channel was closed with no word, as by the death
	// of the process.
	ErrPeerGone
	// ErrDisconnected: the peer sent DISCONNECT; the error has its words.
	ErrDisconnected
)

// Refusals during the handshake.
const (
	// ErrTimeout: the handshake did not end in time.
	ErrTimeout Reason = iota + ErrDisconnected + 1
	// ErrProcess: the hook PeerCheck did not want the peer's process.
	ErrProcess
	// ErrVersion: the peer does not speak version 2.0.
	ErrVersion
	// ErrMode: the peer wants another interface mode.
	ErrMode
	// ErrID: the socket has no interface of that id.
	ErrID
	// ErrBusy: the interface is connected already.
	ErrBusy
	// ErrSecret: the secret is wrong or missing.
	ErrSecret
	// ErrGuesses: too many secrets were wrong lately; this one was not looked at.
	ErrGuesses
	// ErrMessage: a message of the wrong size, of no known type, or with the
	// wrong number of file descriptors.
	ErrMessage
	// ErrOrder: a message at the wrong time.
	ErrOrder
	// ErrRegion: a region that cannot be accepted.
	ErrRegion
	// ErrRing: a ring that cannot be accepted.
	ErrRing
	// ErrInterrupt: a file that is no eventfd, or an eventfd made to block.
	ErrInterrupt
	// ErrResources: this process lacks memory or file descriptors.
	ErrResources
)

// Faults of a connected peer.
const (
	// ErrIndex: head or tail is where it cannot be.
	ErrIndex Reason = iota + ErrResources + 1
	// ErrDescriptor: a descriptor points outside the peer's regions, or a chain
	// has no end.
	ErrDescriptor
	// ErrFault: the memory behind a region is gone.
	ErrFault

	reasons = ErrFault + 1
)

// Error is the reason in words.
func (r Reason) Error() string {
	if int(r) < len(reasonTexts) && reasonTexts[r] != "" {
		return reasonTexts[r]
	}
	return "unknown reason"
}

//nolint:gochecknoglobals // a table of constants
var reasonTexts = [reasons]string{
	ErrClosed:       "closed",
	ErrPeerGone:     "peer is gone",
	ErrDisconnected: "peer disconnected",
	ErrTimeout:      "handshake timed out",
	ErrProcess:      "process not allowed",
	ErrVersion:      "incompatible version",
	ErrMode:         "mode mismatch",
	ErrID:           "no interface of this id",
	ErrBusy:         "interface is already connected",
	ErrSecret:       "wrong secret",
	ErrGuesses:      "too many wrong secrets, try later",
	ErrMessage:      "malformed message",
	ErrOrder:        "unexpected message",
	ErrRegion:       "bad region",
	ErrRing:         "bad ring",
	ErrInterrupt:    "bad interrupt file",
	ErrResources:    "out of resources",
	ErrIndex:        "impossible ring index",
	ErrDescriptor:   "bad descriptor",
	ErrFault:        "fault in shared memory",
}

// reasonOf finds the reason in an error of this package.
func reasonOf(err error) Reason {
	var r Reason
	if !errors.As(err, &r) {
		return ErrResources // an error of the operating system
	}
	return r
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package cniwire is what polynic-cni and polynic-agent say to each other over
// the agent's unix socket: one request, one reply, then the connection closes.
// It depends on the standard library alone, because the CNI binary's start-up
// time is part of every pod's.
package cniwire

// Code is a CNI error code (CNI spec 1.1, section "Error").
type Code uint32

// The codes that polynic uses. 1 to 99 are the specification's; 100 and above
// are the plugin's own.
const (
	CodeNone                Code = 0
	CodeIncompatibleVersion Code = 1
	CodeUnsupportedField    Code = 2
	CodeUnknownContainer    Code = 3
	CodeInvalidEnvironment  Code = 4
	CodeIO                  Code = 5
	CodeDecode              Code = 6
	CodeInvalidConfig       Code = 7
	CodeTryAgainLater       Code = 11
	CodeNotAvailable        Code = 50 // STATUS: the plugin cannot serve ADD
	CodeLimited             Code = 51 // STATUS: not available, existing containers may have limited connectivity

	CodeInternal Code = 100 // polynic could not do it; the message says why
	CodeRefused  Code = 101 // the pod asks for something that cannot be given
	CodeMismatch Code = 102 // CHECK: the interfaces are not as they should be
)

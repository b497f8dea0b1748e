// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Severity tells whether a problem refuses the pod.
type Severity uint8

// The severities.
const (
	// Warning is told to the user; the pod is served.
	Warning Severity = iota + 1
	// Error refuses the pod.
	Error
)

// String is the severity as people read it.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Error:
		return "error"
	default:
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
}

// Problem is one thing found wrong, with where it is.
type Problem struct {
	Severity Severity
	// Key is the annotation key the problem is in.
	Key string
	// Offset and Length locate it in the annotation's value, in bytes;
	// Length is 0 when the whole value (or the key itself) is meant.
	Offset, Length int
	// Interface names the interface concerned, as far as it could be read.
	Interface string
	// Reason is one lower-case sentence that says what is wrong and, where it
	// is not obvious, what would be right.
	Reason string
}

// Error renders the problem as one sentence: KEY: interface "NAME": REASON.
func (p Problem) Error() string {
	if p.Interface == "" {
		return p.Key + ": " + p.Reason
	}
	return p.Key + ": interface " + quote(p.Interface) + ": " + p.Reason
}

// Problems is a list of problems in the order of their positions.
type Problems []Problem

// Warnings are those that do not refuse the pod.
func (ps Problems) Warnings() Problems { return ps.only(Warning) }

// Err is nil where nothing refuses the pod, warnings or not. Its text is one
// line that holds the first few errors; errors.As finds each Problem.
func (ps Problems) Err() error {
	if refused := ps.only(Error); len(refused) > 0 {
		return refusal(refused)
	}
	return nil
}

func (ps Problems) only(s Severity) Problems {
	var found Problems
	for _, p := range ps {
		if p.Severity == s {
			found = append(found, p)
		}
	}
	return found
}

// refusal is the error of at least one problem.
type refusal Problems

// maxListed keeps the text short enough for a Kubernetes Event (1,024 bytes).
const maxListed = 4

// Error implements error.
func (r refusal) Error() string {
	listed := r[:min(len(r), maxListed)]
	texts := make([]string, len(listed))
	for i, p := range listed {
		texts[i] = p.Error()
	}
	text := strings.Join(texts, "; ")
	if more := len(r) - len(listed); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// Unwrap gives the problems one by one.
func (r refusal) Unwrap() []error {
	errs := make([]error, len(r))
	for i, p := range r {
		errs[i] = p
	}
	return errs
}

// maxQuoted bounds what is repeated of the user's text, in bytes.
const maxQuoted = 64

// quote renders a piece of the user's text so that it is safe in a log or on a
// terminal, whatever it holds.
func quote(text string) string {
	if len(text) <= maxQuoted {
		return fmt.Sprintf("%q", text)
	}
	end := maxQuoted
	for end > maxQuoted-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%q...", text[:end])
}

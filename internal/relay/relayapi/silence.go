// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"errors"
	"time"
)

// silenceLimit is how long a relay that was asked something may say nothing at
// all. After that it hangs: calls fail at once, until it is heard of again.
// What was asked is still in its socket, so that one that goes on answers.
const silenceLimit = 5 * time.Second

var errSilent = errors.New("it hangs: it takes requests and has said nothing for 5 s or longer")

// silence is what a session knows of it; guarded by the session's mutex.
type silence struct {
	heard  uint64 // messages from the relay
	silent bool
	tell   func(EventKind) // may take the client's mutex, which is never held around ours
}

func (s *session) heardSoFar() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// hear notes a message from the relay.
func (s *session) hear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard++
	if s.silent {
		s.silent = false
		s.tell(EventConnected)
	}
}

// fellSilent reports whether nothing was heard since before.
func (s *session) fellSilent(before uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard != before {
		return false
	}
	if !s.silent {
		s.silent = true
		s.tell(EventDisconnected)
	}
	return true
}

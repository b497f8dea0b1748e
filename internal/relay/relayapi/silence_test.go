// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A relay that hangs is waited for once; those who come later are told at once,
// until it goes on.
func TestHungRelayIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var told []EventKind
		s := newSession(ours, func(kind EventKind) { told = append(told, kind) })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.read(func(Event) {})
			close(s.ended)
		}()
		requests := NewReader(theirs)
		answer := func() {
			q, err := requests.Request()
			if err != nil {
				t.Error(err)
			}
			line, _ := Encode(Reply{Version: Version, ID: q.ID})
			_, _ = theirs.Write(line)
		}
		resume := make(chan struct{})
		go func() { // says nothing to the first; then goes on
			q, _ := requests.Request()
			<-resume
			line, _ := Encode(Reply{Version: Version, ID: q.ID})
			_, _ = theirs.Write(line)
			answer()
		}()
		for _, want := range []time.Duration{silenceLimit, 0} {
			begin := time.Now()
			if _, err := s.roundTrip(t.Context(), Request{Op: OpList}); !errors.Is(err, errSilent) {
				t.Errorf("error %v, want that it hangs", err)
			}
			if took := time.Since(begin); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
		}
		close(resume)
		synctest.Wait()
		if _, err := s.roundTrip(t.Context(), Request{Op: OpList}); err != nil {
			t.Errorf("after it went on: %v", err)
		}
		if want := []EventKind{EventDisconnected, EventConnected}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		s.breakOff(errClosed)
		<-ended
	})
}

// One that is slow, but talks, does not hang.
func TestSlowRelayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		s := newSession(ours, func(kind EventKind) { t.Errorf("told %v", kind) })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.read(func(Event) {})
			close(s.ended)
		}()
		go func() {
			q, _ := NewReader(theirs).Request()
			for range 3 {
				time.Sleep(silenceLimit - time.Second)
				line, _ := Encode(Reply{Version: Version, Event: &Event{Kind: EventPortFailed}})
				_, _ = theirs.Write(line)
			}
			line, _ := Encode(Reply{Version: Version, ID: q.ID})
			_, _ = theirs.Write(line)
		}()
		if _, err := s.roundTrip(t.Context(), Request{Op: OpList}); err != nil {
			t.Error(err)
		}
		s.breakOff(errClosed)
		<-ended
	})
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// errLost means that the connection broke before the reply came.
var errLost = errors.New("the connection broke")

// session is one connection, with the calls that wait for their replies.
type session struct {
	conn net.Conn

	mu      sync.Mutex // guards what follows, and writing to conn
	last    uint64     // the ID given to the last request
	waiting map[uint64]chan Reply
	cause   error // why the session broke; nil while it has not
	silence

	// ended is closed once the client has let go of the broken session, so
	// that whoever waited for it gets a new one next.
	ended chan struct{}
}

// newSession makes a session; tell hears when it falls silent, and when it is
// heard of again.
func newSession(conn net.Conn, tell func(EventKind)) *session {
	return &session{conn: conn, waiting: map[uint64]chan Reply{}, silence: silence{tell: tell}, ended: make(chan struct{})}
}

// roundTrip sends the request and waits for its reply. The error wraps errLost
// when the connection broke.
func (s *session) roundTrip(ctx context.Context, q Request) (Reply, error) {
	id, reply, err := s.send(q)
	if err != nil {
		return Reply{}, err
	}
	defer s.forget(id)
	patience := time.NewTicker(silenceLimit)
	defer patience.Stop()
	for before := s.heardSoFar(); ; before = s.heardSoFar() {
		select {
		case a := <-reply:
			return a, nil
		case <-s.ended:
			return Reply{}, fmt.Errorf("%w: %w", errLost, s.cause)
		case <-ctx.Done():
			return Reply{}, context.Cause(ctx)
		case <-patience.C:
			if s.fellSilent(before) {
				return Reply{}, errSilent
			}
		}
	}
}

// send numbers and writes the request. What cannot be written breaks the
// session, because half a line may be out; the waiting then ends with it.
func (s *session) send(q Request) (uint64, <-chan Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent {
		return 0, nil, errSilent
	}
	s.last++
	q.Version, q.ID = Version, s.last
	line, err := Encode(q)
	if err != nil {
		return 0, nil, err
	}
	reply := make(chan Reply, 1)
	s.waiting[q.ID] = reply
	err = s.conn.SetWriteDeadline(time.Now().Add(callLimit))
	if err == nil {
		_, err = s.conn.Write(line)
	}
	if err != nil {
		s.breakLocked(err)
	}
	return q.ID, reply, nil
}

func (s *session) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// read hands replies to those who wait and events to take, until the
// connection ends; it returns why.
func (s *session) read(take func(Event)) error {
	messages := NewReplyReader(s.conn)
	for {
		a, err := messages.Reply()
		if err != nil {
			s.breakOff(err)
			return s.cause
		}
		s.hear()
		switch {
		case a.ID != 0:
			s.answer(a)
		case a.Event != nil && (a.Event.Kind == EventPortFailed || a.Event.Kind == EventPeerRefused):
			take(*a.Event)
		}
	}
}

func (s *session) answer(a Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply := s.waiting[a.ID]; reply != nil {
		reply <- a // has room: an ID is answered once
		delete(s.waiting, a.ID)
	}
}

// breakOff closes the connection; the first cause given is kept.
func (s *session) breakOff(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakLocked(cause)
}

func (s *session) breakLocked(cause error) {
	if s.cause == nil {
		s.cause = cause
		_ = s.conn.Close()
	}
}

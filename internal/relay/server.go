// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

// acceptRetry is the pause after an error of accept(2).
const acceptRetry = 100 * time.Millisecond

// server answers the clients.
type server struct {
	table  *table
	worker relayapi.WorkerState
	log    *slog.Logger

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// accept serves connections until ctx ends, and returns when all have ended.
func (s *server) accept(ctx context.Context, listener net.Listener) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		stream, err := listener.Accept()
		if err == nil {
			serving.Go(func() { s.serve(ctx, stream) })
			continue
		}
		var retry <-chan time.Time
		if ctx.Err() == nil { // out of files or memory: ports keep working meanwhile
			s.log.WarnContext(ctx, "a client was turned away", slog.Any("error", err))
			retry = time.After(acceptRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-retry:
		}
	}
}

func (s *server) serve(ctx context.Context, stream net.Conn) {
	c := newConn(stream)
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	err := c.serve(s.answer)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.log.DebugContext(ctx, "a client left", slog.Any("cause", err))
}

// notify sends an event to every client. One that does not keep up is cut off,
// and learns from its next List what it missed.
func (s *server) notify(e relayapi.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.push(relayapi.Reply{Version: relayapi.Version, Event: &e})
	}
}

func (s *server) answer(q relayapi.Request) relayapi.Reply {
	a := relayapi.Reply{Version: relayapi.Version, ID: q.ID}
	if q.Version != relayapi.Version {
		a.Error = relayapi.NewError(fmt.Errorf(
			"this relay speaks version %d of its protocol, not %d: upgrade the older side", relayapi.Version, q.Version))
		return a
	}
	switch q.Op {
	case relayapi.OpAttach:
		for _, p := range q.Ports {
			a.Errors = append(a.Errors, relayapi.NewError(s.table.attach(p)))
		}
	case relayapi.OpAttachMemifs:
		for _, p := range q.Memifs {
			a.Errors = append(a.Errors, relayapi.NewError(s.table.attachMemif(p)))
		}
	case relayapi.OpDetach:
		var errs []error
		for _, id := range q.IDs {
			errs = append(errs, s.table.detach(id))
		}
		a.Error = relayapi.NewError(errors.Join(errs...))
	case relayapi.OpList:
		a.Ports = s.table.list()
	case relayapi.OpWorker:
		a.Worker = &s.worker
	case relayapi.OpListMemifs:
		a.Memifs = s.table.listMemifs()
	default:
		a.Error = relayapi.NewError(fmt.Errorf("this relay does not know the operation %q", q.Op))
	}
	return a
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package cniserver serves the requests of polynic-cni on a unix socket. It
// checks who asks and whether the request has the right form, calls the pod
// path, and writes the answer in the CNI version that was asked for. CNI types
// stop here.
package cniserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/unixsock"
)

// maxInFlight bounds the requests that are served at once; more wait in the
// socket's backlog. A node that restarts adds a few hundred pods in one go.
const maxInFlight = 256

// acceptRetry is the pause before a connection is accepted that could not be
// for want of descriptors or memory.
const acceptRetry = 100 * time.Millisecond

// Verbs is the pod path, called concurrently. Requests have the right form; errors carry their CNI
// code (attach.CodeOf) and one sentence. The context ends when the verb's
// bound is reached and, for Add and Check, when the caller has gone away.
type Verbs interface {
	// Add attaches a sandbox.
	Add(context.Context, attach.Request) (attach.Result, error)
	// Del detaches a sandbox; one that is not attached is no error. Only the
	// ID can be relied on.
	Del(context.Context, attach.Request) error
	// Check compares a sandbox with prev, what the runtime remembers of ADD:
	// the interfaces in the sandbox, those of other plugins included, without
	// Type and Network. MTU is 0 and MAC the zero value where the runtime's
	// CNI version does not carry them; every route is on the main interface.
	Check(ctx context.Context, r attach.Request, prev attach.Result) error
	// GC detaches the sandboxes of the network configuration that are not
	// among valid.
	GC(ctx context.Context, network string, valid []model.AttachmentID) error
	// Status is nil while Add can be served.
	Status(context.Context) error
}

// Bounds is how long each verb may take, its wait for another request of the
// same sandbox included.
type Bounds struct {
	Add, Del, Check, GC, Status time.Duration
}

// DefaultBounds ends ADD before polynic-cni (100 s) and kubelet (2 minutes)
// give up, and CHECK and GC before polynic-cni does. Nobody waits for the
// bounds of DEL and STATUS: polynic-cni answers those by itself after 0.7 s.
func DefaultBounds() Bounds {
	return Bounds{
		Add:    90 * time.Second,
		Del:    60 * time.Second,
		Check:  10 * time.Second,
		GC:     60 * time.Second,
		Status: 5 * time.Second,
	}
}

// Server serves one socket.
type Server struct {
	listener net.Listener
	verbs    Verbs
	bounds   Bounds
	log      *slog.Logger
	slots    chan struct{}
	inFlight sync.WaitGroup
}

// Config is what a Server needs to know.
type Config struct {
	Socket string // path, of any length
	Bounds Bounds
	Log    *slog.Logger
}

// Listen makes the socket, mode 0600, and again whenever it is removed, until ctx
// ends; requests wait in its backlog until Run.
// The error wraps unixsock.ErrInUse where another agent listens.
func Listen(ctx context.Context, cfg Config, verbs Verbs) (*Server, error) {
	listener, err := unixsock.Keep(ctx, cfg.Socket, 0o600, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("cni server: %w", err)
	}
	return &Server{
		listener: listener,
		verbs:    verbs,
		bounds:   cfg.Bounds,
		log:      cfg.Log,
		slots:    make(chan struct{}, maxInFlight),
	}, nil
}

// Close stops listening without serving; Run does it by itself.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, stops listening, waits for the requests in
// flight, which go on to their own ends, and returns.
func (s *Server) Run(ctx context.Context) error {
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { closed <- s.listener.Close() })
	err := s.accept(ctx)
	if stop() {
		closed <- s.listener.Close()
	}
	s.inFlight.Wait()
	return errors.Join(err, <-closed)
}

func (s *Server) accept(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s.slots <- struct{}{}:
		}
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.inFlight.Go(func() {
				defer func() { <-s.slots }()
				s.serve(context.WithoutCancel(ctx), conn)
			})
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the listener was closed on purpose
		case scarce(err):
			s.log.WarnContext(ctx, "requests wait", slog.Any("error", err))
			<-s.slots
			select {
			case <-ctx.Done():
			case <-time.After(acceptRetry):
			}
		default:
			return fmt.Errorf("cni server: %w", err)
		}
	}
}

// scarce reports whether accept(2) lacked what others may give back.
func scarce(err error) bool {
	return slices.ContainsFunc([]error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM},
		func(lack error) bool { return errors.Is(err, lack) })
}

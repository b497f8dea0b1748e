// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/unixsock"
)

const (
	// callLimit bounds a call, waiting for the relay included.
	callLimit = 10 * time.Second
	// patience is how long a call waits for a relay that is not there. A
	// restart of its worker takes a small part of that.
	patience = time.Second
	// redial is how often a missing relay is tried.
	redial = 20 * time.Millisecond
	// batch is how many ports or IDs go into one request, so that it stays far
	// below MaxMessage whatever they say.
	batch = 256
)

// Client talks to the relay over one connection, made when first needed and
// made again when it broke. Safe for concurrent use. Every call ends within
// 10 s, and at once while the relay hangs, see silenceLimit; its error wraps
// ErrAway when the relay did not answer. All operations
// may be repeated, so a call that a restart of the relay cuts short is sent
// once more.
type Client struct {
	path     string
	log      *slog.Logger
	sessions sync.WaitGroup

	mu      sync.Mutex // guards what follows
	session *session   // nil while there is no connection
	watch   *queue     // nil while nobody watches
	closed  bool
}

// New makes a client of the relay that listens at the socket path. It connects
// when the first call or Watch needs it.
func New(path string, log *slog.Logger) *Client {
	return &Client{path: path, log: log}
}

// Close ends the connection and every call under way.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.breakOff(errClosed)
	}
	c.sessions.Wait()
}

// Attach makes every port's devices where they are missing, opens them and
// moves frames between them. A port that is attached as wanted is left
// untouched; one that was attached otherwise is detached first. The result has
// one error per port, in order; what was made for a port that fails is removed
// again. Errors wrap ErrNetnsGone, ErrTaken or ErrAway where they apply.
func (c *Client) Attach(ctx context.Context, ports []TapPort) []error {
	return attachAll(ctx, c, ports, func(part []TapPort) Request { return Request{Op: OpAttach, Ports: part} })
}

// AttachMemifs does so for memif ports. One that only gets another twin or peer
// keeps its application. Errors may wrap ErrFolderGone too.
func (c *Client) AttachMemifs(ctx context.Context, ports []MemifPort) []error {
	return attachAll(ctx, c, ports, func(part []MemifPort) Request { return Request{Op: OpAttachMemifs, Memifs: part} })
}

func attachAll[P any](ctx context.Context, c *Client, ports []P, request func([]P) Request) []error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	errs := make([]error, 0, len(ports))
	for part := range slices.Chunk(ports, batch) {
		errs = append(errs, c.attach(ctx, request(part), len(part))...)
	}
	return errs
}

func (c *Client) attach(ctx context.Context, q Request, ports int) []error {
	errs := make([]error, ports)
	a, err := c.call(ctx, q)
	if err == nil && len(a.Errors) != ports {
		err = fmt.Errorf("relay at %s: answered for %d ports of %d", c.path, len(a.Errors), ports)
	}
	for i := range errs {
		if errs[i] = err; err == nil {
			errs[i] = a.Errors[i].asError()
		}
	}
	return errs
}

// Detach stops the ports, of any kind, closes their files and forgets them; it returns when
// that is done. An ID that is not there is no error. Devices and what is
// configured on them stay.
func (c *Client) Detach(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for part := range slices.Chunk(ids, batch) {
		if _, err := c.call(ctx, Request{Op: OpDetach, IDs: part}); err != nil {
			return err
		}
	}
	return nil
}

// ListMemifs gives all memif ports, ordered by ID.
func (c *Client) ListMemifs(ctx context.Context) ([]MemifState, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	a, err := c.call(ctx, Request{Op: OpListMemifs})
	return a.Memifs, err
}

// Worker tells of the process that serves. A relay of an older release does not.
func (c *Client) Worker(ctx context.Context) (WorkerState, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	a, err := c.call(ctx, Request{Op: OpWorker})
	if err == nil && a.Worker == nil {
		err = fmt.Errorf("relay at %s: an answer without what was asked for", c.path)
	}
	if err != nil {
		return WorkerState{}, err
	}
	return *a.Worker, nil
}

// List gives all tap ports, ordered by ID.
func (c *Client) List(ctx context.Context) ([]PortState, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	a, err := c.call(ctx, Request{Op: OpList})
	return a.Ports, err
}

// call sends the request and waits for its reply.
func (c *Client) call(ctx context.Context, q Request) (Reply, error) {
	a, err := c.try(ctx, q)
	if errors.Is(err, errLost) {
		a, err = c.try(ctx, q)
	}
	if err != nil {
		return Reply{}, fmt.Errorf("relay at %s: %w: %w", c.path, ErrAway, err)
	}
	if a.Error != nil {
		return Reply{}, a.Error
	}
	return a, nil
}

func (c *Client) try(ctx context.Context, q Request) (Reply, error) {
	s, err := c.connect(ctx)
	if err != nil {
		return Reply{}, err
	}
	return s.roundTrip(ctx, q)
}

// connect gives the connection, waiting a little for a relay that is not there.
func (c *Client) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	retry := time.NewTicker(redial)
	defer retry.Stop()
	for {
		s, err := c.dial(ctx)
		if err == nil || errors.Is(err, errClosed) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-retry.C:
		}
	}
}

var errClosed = errors.New("the client is closed")

// dial gives the connection, making it if there is none.
func (c *Client) dial(ctx context.Context) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.session != nil {
		return c.session, nil
	}
	conn, err := unixsock.Dial(ctx, c.path)
	if err != nil {
		return nil, err
	}
	s := newSession(conn, func(kind EventKind) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deliver(Event{Kind: kind})
	})
	c.session = s
	c.sessions.Go(func() { c.serve(s) })
	c.deliver(Event{Kind: EventConnected})
	return s, nil
}

// serve reads the connection until it breaks.
func (c *Client) serve(s *session) {
	err := s.read(func(e Event) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deliver(e)
	})
	c.log.Debug("connection to the relay ended", slog.String("socket", c.path), slog.Any("cause", err))
	defer close(s.ended)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = nil
	c.deliver(Event{Kind: EventDisconnected})
}

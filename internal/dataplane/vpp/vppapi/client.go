// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppapi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/memclnt"

	"github.com/polynic/polynic/internal/dataplane"
)

const (
	// probeInterval is how often Watch asks whether VPP still answers.
	probeInterval = 2 * time.Second
	// firstRetry is how soon Watch tries to connect again, and lastRetry how
	// seldom it does in the end.
	firstRetry, lastRetry = 20 * time.Millisecond, 500 * time.Millisecond
)

// Options say what a client needs of VPP.
type Options struct {
	// Socket is the path of VPP's API socket.
	Socket string
	// Messages are all that are used; a VPP that lacks one cannot be used.
	Messages []api.Message
	// Events are handed to Watch's take.
	Events []api.Message
	// Welcome, if set, is asked for on each new connection.
	Welcome func(ctx context.Context, c *Conn) error
}

// Client keeps a connection to VPP, which may come and go. It may be used
// concurrently.
type Client struct {
	options Options

	connecting chan struct{} // held, as one element, by who connects

	mu     sync.Mutex // guards what follows
	conn   *Conn
	take   func(api.Message)
	closed bool
}

// NewClient makes a client. VPP need not be there yet.
func NewClient(options Options) *Client {
	return &Client{options: options, connecting: make(chan struct{}, 1)}
}

// Conn gives the connection, made anew where there is none. Errors wrap
// dataplane.ErrAway; of a VPP that cannot be used they are an UnusableError too.
func (c *Client) Conn(ctx context.Context) (*Conn, error) {
	if conn := c.current(); conn != nil {
		return conn, nil
	}
	select {
	case c.connecting <- struct{}{}:
		defer func() { <-c.connecting }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: connect to VPP: %w", dataplane.ErrAway, ctx.Err())
	}
	if conn := c.current(); conn != nil {
		return conn, nil
	}
	return c.connect(ctx)
}

// Do carries out a batch on the connection of the moment.
func (c *Client) Do(ctx context.Context, b *Batch) error {
	conn, err := c.Conn(ctx)
	if err != nil {
		return err
	}
	return conn.Do(ctx, b)
}

func (c *Client) current() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.conn.Err() != nil {
		return nil
	}
	return c.conn
}

func (c *Client) connect(ctx context.Context) (*Conn, error) {
	conn, err := dial(ctx, c.options.Socket, c.event)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, conn); err != nil {
		if !errors.Is(err, dataplane.ErrAway) {
			err = fmt.Errorf("%w: %w", dataplane.ErrAway, err)
		}
		return nil, errors.Join(err, conn.Close())
	}
	if !c.keep(conn) {
		return nil, errors.Join(fmt.Errorf("%w: closed", dataplane.ErrAway), conn.Close())
	}
	return conn, nil
}

// keep has the connection used from now on, unless the client was closed. One
// before it has failed, and holds nothing any more.
func (c *Client) keep(conn *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.conn = conn
	}
	return !c.closed
}

func (c *Client) prepare(ctx context.Context, conn *Conn) error {
	for _, e := range c.options.Events {
		if err := conn.subscribe(e); err != nil {
			return err
		}
	}
	if err := conn.check(ctx, c.options.Messages); err != nil {
		return err
	}
	if c.options.Welcome == nil {
		return nil
	}
	return c.options.Welcome(ctx, conn)
}

func (c *Client) event(m api.Message) {
	c.mu.Lock()
	take := c.take
	c.mu.Unlock()
	if take != nil {
		take(m)
	}
}

// Close ends the connection; nobody may use the client any more.
func (c *Client) Close() error {
	c.mu.Lock()
	conn := c.conn
	c.conn, c.closed = nil, true
	c.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// Watch keeps the connection until ctx ends, and calls state, with nil once it is
// there and with the reason once it is not, and take with the events; neither is
// called concurrently with itself.
func (c *Client) Watch(ctx context.Context, state func(error), take func(api.Message)) error {
	c.mu.Lock()
	c.take = take
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.take = nil
		c.mu.Unlock()
	}()
	retry, told := firstRetry, ""
	for {
		conn, err := c.Conn(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			state(nil)
			retry, told = firstRetry, ""
			if err = c.probe(ctx, conn); err == nil {
				return nil
			}
		}
		if err.Error() != told {
			told = err.Error()
			state(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
			retry = min(2*retry, lastRetry)
		}
	}
}

// probe asks from time to time whether VPP answers; nil once ctx ended.
func (c *Client) probe(ctx context.Context, conn *Conn) error {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-conn.Done():
			return conn.Err()
		case <-ticker.C:
		}
		var b Batch
		b.Call(&memclnt.ControlPing{}, &memclnt.ControlPingReply{})
		if err := conn.Do(ctx, &b); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

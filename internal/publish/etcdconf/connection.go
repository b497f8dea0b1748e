// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// How an etcd that is away is looked for, and one that went is noticed.
const (
	firstBackoff     = 200 * time.Millisecond
	maxBackoff       = 5 * time.Second
	backoffFactor    = 1.6
	backoffJitter    = 0.2
	keepAlive        = 10 * time.Second // etcd takes no pings more often than every 5 s
	keepAliveTimeout = 5 * time.Second
)

// Connection is how one client connects, and how that fares: the client itself
// only says that a deadline passed. Its methods may be called concurrently.
type Connection struct {
	target target

	mu      sync.Mutex
	problem error
}

// Config is for clientv3.New, which connects in the background; with a name to log
// in with, it waits for that, as long as DialTimeout. The files of TLS are read anew
// for every connection. The password is in the outcome: do not print it.
func (c *Connection) Config() clientv3.Config {
	t := c.target
	options := []grpc.DialOption{
		grpc.WithContextDialer(c.dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstBackoff, Multiplier: backoffFactor, Jitter: backoffJitter, MaxDelay: maxBackoff},
			MinConnectTimeout: t.dialTimeout,
		}),
	}
	if !t.plain {
		// In place of the client's own, which would be made of files read once.
		options = append(options, grpc.WithTransportCredentials(handshaker{c}))
	}
	return clientv3.Config{
		Endpoints: t.endpoints, DialTimeout: t.dialTimeout,
		DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAliveTimeout,
		Username: t.username, Password: t.password,
		DialOptions: options,
		Logger:      zap.NewNop(), // what went wrong is told by Problem
	}
}

// Endpoints are those that the client connects to, as HOST:PORT.
func (c *Connection) Endpoints() []string { return c.target.endpoints }

// Problem is why the newest attempt to connect failed, or what ended the connection;
// nil while there is one, and before the first attempt.
func (c *Connection) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

// fail keeps how an attempt ended, unless the client itself gave it up.
func (c *Connection) fail(ctx context.Context, address string, err error) error {
	err = c.explain(address, err)
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.note(err)
	}
	return err
}

func (c *Connection) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = err
}

// dial connects to one endpoint.
func (c *Connection) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, c.fail(ctx, address, err)
	}
	if c.target.plain {
		return &watched{Conn: conn, connection: c, address: address}, nil
	}
	return conn, nil
}

// watched notes what ends a connection. That there is one is noted with the first
// byte that etcd sends: one that wants TLS takes the connection, and then closes it,
// and in TLS 1.3 it refuses a client's certificate after the handshake.
type watched struct {
	net.Conn
	connection *Connection
	address    string
	answered   bool // of the one reader's
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	switch {
	case n > 0 && !w.answered:
		w.answered = true
		w.connection.note(nil)
	case err == nil, errors.Is(err, net.ErrClosed):
	case errors.Is(err, io.EOF) && !w.answered:
		w.connection.note(w.connection.explain(w.address, errMute))
	default:
		w.connection.note(w.connection.explain(w.address, err))
	}
	return n, err
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Connection is how a client connects, and how that fares. Its methods may be called
// concurrently.
type Connection struct {
	target target

	mu      sync.Mutex
	problem error
}

// Config is for a client, which with a name to log in with asks etcd when it is made,
// and fails where etcd is away. The files of TLS are read anew for every connection.
// The password is in the outcome: do not print it.
func (c *Connection) Config() clientv3.Config {
	t := c.target
	options := []grpc.DialOption{grpc.WithContextDialer(c.dial)}
	if !t.plain {
		// In place of the client's own, which would be made of files read once.
		options = append(options, grpc.WithTransportCredentials(handshaker{c}))
	}
	return clientv3.Config{
		Endpoints: t.endpoints, DialTimeout: t.dialTimeout,
		Username: t.username, Password: t.password,
		DialOptions: options,
	}
}

// Problem is why the newest attempt to connect failed, also where the client itself
// only says that a deadline passed; nil once etcd said something, and before the
// first attempt.
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
		return &fresh{Conn: conn, connection: c, address: address}, nil
	}
	return conn, nil
}

// fresh is a connection on which etcd may not have said anything yet. One that wants
// TLS takes the connection and closes it, and in TLS 1.3 a client's certificate is
// refused after the handshake.
type fresh struct {
	net.Conn
	connection *Connection
	address    string
	answered   atomic.Bool
}

// lastWords bounds how long what etcd said before it closed is waited for.
const lastWords = time.Second

// Read implements net.Conn.
func (f *fresh) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if n > 0 && !f.answered.Swap(true) {
		f.connection.note(nil)
	}
	if err == nil || f.answered.Load() {
		return n, err
	}
	return n, f.refused(err)
}

// Write implements net.Conn. Where etcd has closed the connection, the reason is
// there to be read.
func (f *fresh) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	if err == nil || f.answered.Load() {
		return n, err
	}
	if f.SetReadDeadline(time.Now().Add(lastWords)) == nil {
		if _, said := f.Conn.Read(make([]byte, 1)); said != nil {
			err = said
		}
	}
	return n, f.refused(err)
}

// refused notes what ended a connection before etcd said anything on it, unless that
// was this side.
func (f *fresh) refused(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = errMute
	}
	err = f.connection.explain(f.address, err)
	f.connection.note(err)
	return err
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish/store"
)

// Link is a way to a server that can be cut off.
type Link struct {
	server   string // HOST:PORT
	listener net.Listener
	parts    sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// Relay makes a way to a server until the test ends.
func Relay(t testing.TB, s *Server) *Link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Link{server: s.config.ListenClientUrls[0].Host, listener: l}
	r.parts.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.Cut()
		r.parts.Wait()
	})
	return r
}

// Dial makes a client at the far end.
func (r *Link) Dial(t testing.TB) *clientv3.Client {
	t.Helper()
	endpoint := url.URL{Scheme: "http", Host: r.listener.Addr().String()}
	client, err := store.Dial(clientv3.Config{Endpoints: []string{endpoint.String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Cut ends every connection, and each that comes, until Mend.
func (r *Link) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// Mend lets connections through again.
func (r *Link) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
}

func (r *Link) accept() {
	for {
		near, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		far, err := net.Dial("tcp", r.server)
		if err != nil || !r.keep(near, far) {
			_ = near.Close()
			continue
		}
		r.parts.Go(func() { pass(near, far) })
		r.parts.Go(func() { pass(far, near) })
	}
}

// keep takes note of a connection, or ends it.
func (r *Link) keep(near, far net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		_ = far.Close()
		return false
	}
	r.conns = append(r.conns, near, far)
	return true
}

func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

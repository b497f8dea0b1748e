// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// maxConnections bounds those that each listener forwards at a time; more wait.
const maxConnections = 256

// acceptPause is how long a listener rests that cannot accept, for want of file
// descriptors for example.
const acceptPause = 100 * time.Millisecond

// forward hands connections on to an address until ctx ends, closes the
// listeners, and returns once everything is closed.
func forward(ctx context.Context, listeners []net.Listener, address string) {
	var group sync.WaitGroup
	for _, l := range listeners {
		stop := context.AfterFunc(ctx, func() { l.Close() })
		group.Go(func() {
			defer stop()
			defer l.Close()
			accept(ctx, l, address)
		})
	}
	if len(listeners) == 0 {
		<-ctx.Done()
	}
	group.Wait()
}

func accept(ctx context.Context, l net.Listener, address string) {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			<-slots
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
				return
			}
			continue
		}
		group.Go(func() {
			defer func() { <-slots }()
			join(ctx, conn, address)
		})
	}
}

// join copies both ways until both are done, or ctx ends.
func join(ctx context.Context, from net.Conn, address string) {
	defer from.Close()
	to, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return // whoever asks sees that it is closed, and asks again
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() {
		from.Close()
		to.Close()
	})()
	var both sync.WaitGroup
	both.Go(func() { half(to, from) })
	both.Go(func() { half(from, to) })
	both.Wait()
}

// half copies one way, and passes the end of it on.
func half(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok && err == nil {
		err = tcp.CloseWrite()
	}
	if err != nil {
		to.Close()
		from.Close()
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relaytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Transfer sends random bytes over TCP and compares what arrives.
func Transfer(t testing.TB, from, to *Space, listen string, size int64) {
	t.Helper()
	var listener net.Listener
	err := to.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(listen, "0"))
		return err
	})
	if err != nil {
		t.Error(err)
		return
	}
	defer listener.Close()
	sent, received := sha256.New(), sha256.New()
	var group errgroup.Group
	group.Go(func() error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = io.Copy(received, conn)
		return err
	})
	group.Go(func() error {
		conn, err := from.DialTCP(t.Context(), listener.Addr().String())
		if err != nil {
			return errors.Join(err, listener.Close()) // or it would be waited for
		}
		defer conn.Close()
		source := rand.NewChaCha8([32]byte{1})
		_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(conn, sent)}, io.LimitReader(source, size), make([]byte, 256<<10))
		return err
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Error("what arrived is not what was sent")
	}
}

// DialTCP connects from the namespace.
func (s *Space) DialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var conn net.Conn
	err := s.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

// DialUDP makes a socket in the namespace that sends to an address.
func (s *Space) DialUDP(ctx context.Context, addr string) (net.Conn, error) {
	var conn net.Conn
	err := s.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "udp", addr)
		return err
	})
	return conn, err
}

// ListenUDP listens in the namespace, until the test ends.
func ListenUDP(t testing.TB, s *Space, addr string) *net.UDPConn {
	t.Helper()
	var conn net.PacketConn
	err := s.Do(func() (err error) {
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
			})
		}}
		conn, err = config.ListenPacket(t.Context(), "udp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

// SendSegmented sends one large datagram that is to be cut up (UDP_SEGMENT).
func SendSegmented(t testing.TB, from *Space, to *net.UDPAddr, payload []byte, segment int) {
	t.Helper()
	err := from.Do(func() error {
		conn, err := net.DialUDP("udp", nil, to)
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		var optErr error
		err = raw.Control(func(fd uintptr) {
			optErr = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, segment)
		})
		if err := errors.Join(err, optErr); err != nil {
			return err
		}
		_, err = conn.Write(payload)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

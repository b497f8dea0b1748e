// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package relay is the process that holds the file side of tap devices and the
// rings of memifs. A port is a pod's tap, born in the pod's network namespace,
// or a memif, of which the relay is the master on a socket in the pod's folder;
// with a twin tap in the namespace of a network, to and from which the relay
// moves frames. Instead of a twin a tap can have a memif of which another process
// is the master, a switch. Two memifs can also be connected with each other. The relay does
// what it is told over a unix socket (package relayapi), keeps a record of it,
// and attaches everything again by itself after a restart.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/relay/nswatch"
	"github.com/polynic/polynic/internal/relay/pump"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/unixsock"
)

// Config says where the relay meets the rest of the node.
type Config struct {
	// Socket is the path of the unix socket to listen at.
	Socket string
	// StateDir holds the records; made with mode 0700 if missing. It belongs on
	// a tmpfs: records are worth nothing after a reboot.
	StateDir string
	// Worker is what is told of this process.
	Worker relayapi.WorkerState
}

// Run is the relay, until ctx ends (nil). It then closes all files and leaves
// devices and records for the next. An error that wraps ErrStart says why it
// cannot run here at all.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	lock, err := prepare(ctx, cfg.StateDir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	defer lock.Close()
	listener, err := unixsock.Listen(ctx, cfg.Socket, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	frames, err := pump.New(runtime.GOMAXPROCS(0))
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrStart, err), listener.Close())
	}
	namespaces, err := nswatch.New()
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrStart, err), frames.Close(), listener.Close())
	}
	s := &server{worker: cfg.Worker, log: log, conns: map[*conn]struct{}{}}
	s.table = newTable(parts{frames, namespaces, &records{cfg.StateDir}, newSockets(s.notify, log)}, s.notify, log)
	err = s.run(ctx, listener)
	// In this order: what reports failures first, then what they are about.
	return errors.Join(err, frames.Close(), namespaces.Close(), s.table.close())
}

// run attaches what the records say, then serves until ctx ends. Clients that
// come earlier wait to be accepted.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	group.Go(func() error { return s.table.namespaces.Run(ctx) })
	group.Go(func() error {
		if err := s.table.recover(ctx); err != nil {
			return err
		}
		s.accept(ctx, listener)
		return nil
	})
	return group.Wait()
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package unixsock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// againAfter is the pause before a socket is made again that could not be.
const againAfter = time.Second

// Keep is Listen for a socket that somebody may remove, alone or with its
// folder: it is then made again, at once. That ends with ctx; Close comes
// before or after. Connections that wait to be accepted when the socket is
// removed are lost.
func Keep(ctx context.Context, path string, mode os.FileMode, log *slog.Logger) (net.Listener, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	k := &kept{path: filepath.Clean(path), mode: mode, log: log.With(slog.String("socket", path)), watcher: watcher}
	if err := k.listen(ctx); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	ctx, k.stop = context.WithCancel(ctx)
	k.running.Go(func() { k.run(ctx) })
	return k, nil
}

// kept is a listener with changing insides.
type kept struct {
	path    string
	mode    os.FileMode
	log     *slog.Logger
	watcher *fsnotify.Watcher
	stop    context.CancelFunc
	running sync.WaitGroup

	mu  sync.Mutex
	now *socket
	is  os.FileInfo // of now, at its path
}

// listen makes the socket, and watches its folder from before.
func (k *kept) listen(ctx context.Context) error {
	if err := k.watcher.Add(filepath.Dir(k.path)); err != nil {
		return fmt.Errorf("socket %s: watch its folder: %w", k.path, err)
	}
	listener, err := listen(ctx, k.path, k.mode)
	if err != nil {
		return err
	}
	is, err := os.Lstat(k.path)
	if err != nil {
		return errors.Join(fmt.Errorf("socket: %w", err), listener.Listener.Close())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now != nil {
		err = k.now.Listener.Close() // not its path, which is the new one's
	}
	k.now, k.is = listener, is
	return err
}

// run makes the socket again whenever it is gone.
func (k *kept) run(ctx context.Context) {
	var again <-chan time.Time
	said := ""
	for {
		err := k.restore(ctx)
		if err != nil {
			again = time.After(againAfter)
		}
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			k.log.WarnContext(ctx, "the socket is gone, and cannot be made again; trying on", slog.Any("error", err))
		}
		select {
		case <-k.watcher.Events:
		case err := <-k.watcher.Errors: // events were lost
			k.log.DebugContext(ctx, "watching the socket", slog.Any("error", err))
		case <-again:
			again = nil
		case <-ctx.Done():
			return
		}
	}
}

func (k *kept) restore(ctx context.Context) error {
	if k.isThere() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return err
	}
	if err := k.listen(ctx); err != nil {
		return err
	}
	k.log.WarnContext(ctx, "the socket was gone; it is there again")
	return nil
}

func (k *kept) isThere() bool {
	st, err := os.Lstat(k.path)
	k.mu.Lock()
	defer k.mu.Unlock()
	return err == nil && os.SameFile(st, k.is)
}

// Accept implements net.Listener.
func (k *kept) Accept() (net.Conn, error) {
	for {
		k.mu.Lock()
		listener := k.now
		k.mu.Unlock()
		conn, err := listener.Accept()
		k.mu.Lock()
		replaced := listener != k.now
		k.mu.Unlock()
		if err == nil || !replaced {
			return conn, err
		}
	}
}

// Addr implements net.Listener.
func (k *kept) Addr() net.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.Addr()
}

// Close stops listening and removes the socket file.
func (k *kept) Close() error {
	k.stop()
	k.running.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.watcher.Close(), k.now.Close())
}

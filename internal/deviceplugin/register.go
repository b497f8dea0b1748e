// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

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
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/unixsock"
)

const (
	// The pauses between attempts to register with a kubelet whose socket is
	// there. The first is short, because a socket is seen before anybody
	// listens on it.
	firstPause, longPause = 20 * time.Millisecond, time.Second
	// registerLimit bounds one attempt. Kubelet connects to the plugin before
	// it answers.
	registerLimit = 5 * time.Second
	// A kubelet that took the plugin listens to it within this time.
	listenLimit = 5 * time.Second
	// folderPause is between attempts to watch the folder.
	folderPause = time.Second
)

// registrar sees that the plugin's socket is there, and that kubelet knows of
// it. At its start kubelet removes every socket in the folder and forgets every
// plugin.
type registrar struct {
	log     *slog.Logger
	dir     string
	server  *grpc.Server
	streams *streams

	listener net.Listener
	serving  sync.WaitGroup
	// with is the socket of the kubelet that took the registration last.
	with  os.FileInfo
	pause time.Duration // before the next attempt, should this one fail
	said  string        // the last reason that was logged
}

// run registers, again and again, until ctx ends.
func (r *registrar) run(ctx context.Context) error {
	defer func() {
		r.server.Stop()
		r.serving.Wait()
	}()
	for {
		err := r.watch(ctx)
		if err == nil {
			return nil
		}
		r.say(ctx, err)
		select {
		case <-time.After(folderPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// say logs a reason unless it was the last one already, or the end.
func (r *registrar) say(ctx context.Context, reason error) {
	if reason.Error() != r.said && ctx.Err() == nil {
		r.said = reason.Error()
		r.log.WarnContext(ctx, "memif devices cannot be offered to kubelet; trying again", slog.Any("error", reason))
	}
}

// watch registers whenever that is needed, as long as the folder is there.
func (r *registrar) watch(ctx context.Context) error {
	if err := os.MkdirAll(r.dir, 0o750); err != nil { // as kubelet would
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(r.dir); err != nil {
		return err
	}
	r.pause = firstPause
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-due.C:
			next, err := r.attempt(ctx)
			if err != nil {
				return err
			}
			due.Reset(next)
		case <-r.streams.ended:
			due.Reset(0)
		case event, ok := <-watcher.Events:
			switch {
			case !ok || event.Name == r.dir: // the folder itself went
				return fmt.Errorf("%s: %w", r.dir, os.ErrNotExist)
			case event.Name == r.kubeletSocket() && event.Has(fsnotify.Create):
				r.pause = firstPause
				due.Reset(0)
			case event.Name == r.socket() && event.Has(fsnotify.Remove):
				due.Reset(0)
			}
		case err := <-watcher.Errors:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *registrar) socket() string        { return filepath.Join(r.dir, socketName) }
func (r *registrar) kubeletSocket() string { return filepath.Join(r.dir, "kubelet.sock") }

// never is a time that does not come while a plugin runs.
const never = 1000 * time.Hour

// attempt sees that the plugin's socket is there, and that kubelet knows of it.
// It gives the time until the next look, if nothing happens before; the error is
// the socket's alone.
func (r *registrar) attempt(ctx context.Context) (time.Duration, error) {
	if err := r.listen(ctx); err != nil {
		return 0, err
	}
	kubelet := find(r.kubeletSocket())
	if kubelet == nil || isSame(r.with, kubelet) && !r.streams.none() {
		return never, nil // when another kubelet comes, its socket is seen
	}
	if err := r.register(ctx); err != nil {
		r.say(ctx, err)
		next := r.pause
		r.pause = min(2*next, longPause)
		return next, nil
	}
	r.with, r.pause, r.said = kubelet, firstPause, ""
	r.log.InfoContext(ctx, "memif devices are offered to kubelet", slog.String("resource", podif.MemifResource))
	return listenLimit, nil
}

// find gives nil where there is nothing.
func find(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

// isSame reports whether both are one socket. Inodes are used again.
func isSame(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// listen makes the plugin's socket, unless it is there. Kubelets that are
// connected stay so.
func (r *registrar) listen(ctx context.Context) error {
	if r.listener != nil {
		if find(r.socket()) != nil {
			return nil
		}
		if err := r.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		r.listener = nil
	}
	listener, err := unixsock.Listen(ctx, r.socket(), 0o600)
	if err != nil {
		return err
	}
	r.listener = listener
	r.serving.Go(func() { _ = r.server.Serve(listener) }) // it ends when the listener is closed
	return nil
}

// register tells kubelet of the plugin.
func (r *registrar) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, registerLimit)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///kubelet",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return unixsock.Dial(ctx, r.kubeletSocket())
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = api.NewRegistrationClient(conn).Register(ctx, &api.RegisterRequest{
		Version: api.Version, Endpoint: socketName, ResourceName: podif.MemifResource, Options: &api.DevicePluginOptions{},
	})
	return err
}

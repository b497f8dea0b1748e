// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/podsocket"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/memif"
)

// sockets are those of all memif ports, by their paths. Safe for concurrent use.
type sockets struct {
	notify func(relayapi.Event)
	log    *slog.Logger

	mu   sync.Mutex
	open map[string]*socket
}

// socket is one socket, which lives as long as it has ports.
type socket struct {
	relayapi.MemifSocket
	refusals
	file     *podsocket.Socket
	listener *memif.Listener
	users    int // guarded by the mutex of sockets
}

func newSockets(notify func(relayapi.Event), log *slog.Logger) *sockets {
	return &sockets{notify: notify, log: log, open: map[string]*socket{}}
}

// use adds the memif of a port to the socket that it wants, which is made if it
// is not there. One whose file is gone serves on for the ports that it has.
func (s *sockets) use(port string, want relayapi.MemifSocket, c memif.Config) (*socket, *memif.Interface, error) {
	var err error
	if want.Pod, err = resolve(want.Pod); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(want.Folder, want.Name)
	k := s.open[path]
	if k == nil || k.check() != nil {
		if k, err = s.listen(want); err != nil {
			return nil, nil, err
		}
		s.open[path] = k
	}
	if k.MemifSocket != want {
		return nil, nil, fmt.Errorf("socket %s: other ports share it and say something else of its namespace, queues or rings: say the same", path)
	}
	c.OnDisconnect = func(conn *memif.Conn, err error) { k.disconnected(c.ID, conn.Peer(), err) }
	i, err := k.listener.Add(c)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("socket %s, memif %d: another port has that id, or it cannot be added: %w", path, c.ID, err), s.release(k))
	}
	k.users++
	k.known(c.ID, port)
	return k, i, nil
}

// leave closes the memif of a port, and the socket after its last.
func (s *sockets) leave(k *socket, i *memif.Interface, id uint32) error {
	err := i.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	k.unknown(id)
	k.users--
	return errors.Join(err, s.release(k))
}

// release closes a socket that has no ports. s.mu is held; whoever is told of a
// refusal meanwhile does not need it.
func (s *sockets) release(k *socket) error {
	if k.users > 0 {
		return nil
	}
	if path := filepath.Join(k.Folder, k.Name); s.open[path] == k {
		delete(s.open, path)
	}
	return errors.Join(k.listener.Close(), k.file.Remove())
}

func (s *sockets) listen(want relayapi.MemifSocket) (*socket, error) {
	file, listener, err := podsocket.Listen(want.Folder, want.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", relayapi.ErrFolderGone, err)
	}
	if err != nil {
		return nil, err
	}
	k := &socket{MemifSocket: want, file: file, refusals: refusals{notify: s.notify, log: s.log, cut: map[memif.Reason]uint64{}}}
	config := memif.ListenConfig{
		Application: "polynic", QueuePairs: want.QueuePairs, RingSize: want.RingSize, OnRefuse: k.refused,
	}
	if want.Pod.Path != "" {
		config.PeerCheck = inNetns(want.Pod.Inode)
	}
	if k.listener, err = memif.NewListener(listener, config); err != nil {
		return nil, errors.Join(err, listener.Close(), file.Remove())
	}
	return k, nil
}

// check reports whether applications find the socket.
func (k *socket) check() error { return k.file.Check() }

// resolve finds the inode of a namespace, or makes sure that it is still that.
func resolve(pod model.Netns) (model.Netns, error) {
	if pod.Path == "" {
		return pod, nil
	}
	open := func() (*netns.Handle, error) { return netns.OpenExact(pod) }
	if pod.Inode == 0 {
		open = func() (*netns.Handle, error) { return netns.Open(pod.Path) }
	}
	h, err := open()
	if err != nil {
		return model.Netns{}, err
	}
	pod.Inode = h.Inode()
	return pod, h.Close()
}

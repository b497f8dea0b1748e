// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vpptest is a server that speaks VPP's binary API over its unix socket:
// it has state, and refuses what VPP 25.10 refuses, with VPP's own error numbers.
// It moves no packets. Run is what the server and the real VPP must both pass;
// where they differ the server is wrong.
package vpptest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"

	"go.fd.io/govpp/api"

	"github.com/polynic/polynic/internal/netns"
)

// DefaultVersion is what the server calls itself.
const DefaultVersion = "25.10-release"

// Config describes a server; the zero Config is one that tests can use.
type Config struct {
	// Socket is where it listens; "" is a place of its own. Its statistics are
	// beside it, in stats.sock.
	Socket string
	// Version is what it calls itself; "" is DefaultVersion.
	Version string
	// Inside is the network namespace that it sees the links of; nil is the
	// test's own.
	Inside *netns.Handle
	// VhostNet says that the kernel has vhost-net, without which VPP makes no tap; the
	// server's taps need none.
	VhostNet bool
	// Heard, if set, is given each request, in their order. It is called by one
	// goroutine at a time, and must not call the server.
	Heard func(api.Message)
}

// Server is a VPP that moves no packets. Its methods may be used concurrently.
type Server struct {
	t      testing.TB
	config Config
	names  numbering
	// Socket is where it listens, and Stats where it hands out statistics.
	Socket, Stats string

	serving sync.WaitGroup

	mu       sync.Mutex // guards what follows, as VPP has one main thread
	world    *world     // nil while it is killed
	listener *net.UnixListener
	stats    *net.UnixListener
	counted  statistics
	clients  map[uint32]*client
	next     uint32        // index of the next client
	hung     chan struct{} // closed while it does not hang
	hidden   []string      // patterns of messages that it does not know
	failures []*failure
	calls    map[string]int
}

// failure is a call that is to fail.
type failure struct {
	message string
	in      int // how many calls from now; 1 is the next
	retval  api.VPPApiError
}

// Start starts a server. It is killed when the test ends.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	if c.Version == "" {
		c.Version = DefaultVersion
	}
	if c.Socket == "" {
		c.Socket = filepath.Join(shortDir(t), "api.sock")
	}
	s := &Server{
		t: t, config: c, names: number(), Socket: c.Socket, Stats: filepath.Join(filepath.Dir(c.Socket), "stats.sock"),
		counted: newStatistics(), clients: map[uint32]*client{}, hung: make(chan struct{}), calls: map[string]int{},
	}
	close(s.hung)
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// shortDir is a folder of the test's with a name that leaves room for a socket's in
// a path.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vpptest") //nolint:usetesting // TempDir's names are too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Restart kills the server, if it runs, and starts it empty.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	listener, stats := s.listen("unix", s.Socket), s.listen("unixpacket", s.Stats)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world, s.listener, s.stats = newWorld(s.config, filepath.Dir(s.Socket)), listener, stats
	s.serving.Go(func() { s.accept(listener) })
	s.serving.Go(func() { s.handOut(stats) })
}

// listen listens as VPP does: a socket that nobody listens on is in nobody's way.
func (s *Server) listen(network, at string) *net.UnixListener {
	s.t.Helper()
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	listener, err := net.ListenUnix(network, &net.UnixAddr{Name: at, Net: network})
	if err != nil {
		s.t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	return listener
}

// Kill ends the server as kill -9 does: connections end, everything is forgotten,
// and nobody listens on its sockets, whose files stay. It returns when no
// goroutine of it is left.
func (s *Server) Kill() {
	s.mu.Lock()
	if s.world != nil {
		s.world.close()
		_ = s.listener.Close()
		_ = s.stats.Close()
		s.world, s.listener, s.stats = nil, nil, nil
	}
	for _, c := range s.clients {
		c.hangUp()
	}
	clear(s.clients)
	s.mu.Unlock()
	s.Unhang()
	s.serving.Wait()
}

// Hang lets the server answer nothing more, until Unhang or Kill.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.hung:
		s.hung = make(chan struct{})
	default:
	}
}

// Unhang lets it answer, also what it was asked meanwhile.
func (s *Server) Unhang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.hung:
	default:
		close(s.hung)
	}
}

// SetVersion changes what it calls itself, from its next start on.
func (s *Server) SetVersion(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Version = version
}

// WithoutMessage takes messages out of the table that clients are given from now
// on; in a pattern such as memif_* a plugin's all.
func (s *Server) WithoutMessage(patterns ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = patterns
}

// FailCall lets the nth call of a message from now on (1 is the next) be refused
// with an error of VPP's and change nothing.
func (s *Server) FailCall(message string, n int, retval api.VPPApiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, &failure{message, n, retval})
}

// Calls is how often a message was received, over all lives of the server.
func (s *Server) Calls(message string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[message]
}

// AllCalls is how many messages were received, over all lives of the server.
func (s *Server) AllCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all int
	for _, n := range s.calls {
		all += n
	}
	return all
}

// Connect says that an application has taken up a memif, or has left it.
func (s *Server) Connect(swIfIndex uint32, state LinkState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world == nil {
		return errors.New("it does not run")
	}
	i, ok := s.world.interfaces[swIfIndex]
	if !ok || i.memif == nil {
		return fmt.Errorf("%d is no memif", swIfIndex)
	}
	s.world.connect(i, state)
	s.tell()
	return nil
}

// LinkState is whether a memif is taken up.
type LinkState string

// The states of a memif's link.
const (
	Up   LinkState = "up"
	Down LinkState = "down"
)

// isHidden reports whether a message is none that it knows. s.mu is held.
func (s *Server) isHidden(name string) bool {
	for _, pattern := range s.hidden {
		if matched, err := path.Match(pattern, name); err == nil && matched {
			return true
		}
	}
	return false
}

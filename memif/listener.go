// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenConfig describes a socket and what all its interfaces have in common.
type ListenConfig struct {
	// Address is the path of the socket, at most 107 bytes, or an abstract name
	// after an "@". Only the former has permissions, the umask's at first.
	Address string
	// Application is the name told to peers; at most 31 bytes arrive.
	Application string
	// QueuePairs and RingSize are the most that a slave may ask for; 0 means 16
	// pairs and MaxRingSize.
	QueuePairs, RingSize int
	// HandshakeTimeout is how long a peer may take for its first message, and
	// again for the rest of the handshake, from 1 ms to 1 h; 0 means 5 s.
	HandshakeTimeout time.Duration

	// PeerCheck, if set, is asked about each process that connects, before it
	// is told anything. An error refuses it; its text stays here. It counts as the
	// Reason that it wraps, or as ErrProcess.
	PeerCheck func(Candidate) error
	// OnRefuse, if set, is told of every peer that was not connected. It is
	// called from the goroutines of connections and must return soon.
	OnRefuse func(Refusal)
}

// Refusal is a peer that was not connected.
type Refusal struct {
	Peer Peer   // its names as far as it had told them
	ID   uint32 // of the interface that it asked for, if it had
	Err  error  // wraps a Reason
}

// What a socket puts up with. Peers that exceed this wait in the socket's
// backlog, where they cost nothing, or are turned away there by the kernel.
const (
	maxPending        = 8  // handshakes under way
	backlog           = 16 // connections not accepted yet
	handshakeBurst    = 32
	handshakeInterval = 10 * time.Millisecond
	guessBurst        = 5
	guessInterval     = time.Second
)

// Listener is the master's socket: slaves connect to it, each to one of the
// interfaces that were added.
type Listener struct {
	config ListenConfig
	socket *net.UnixListener

	pending    chan struct{}
	handshakes limiter
	guesses    limiter // that were wrong

	mu         sync.Mutex
	interfaces map[uint32]*Interface
	conns      map[*Conn]struct{}
	refused    tally

	stop  chan struct{} // closed by Close
	once  sync.Once
	serve sync.WaitGroup
}

// Listen makes the socket. A socket file that was left there by a process that
// is gone is replaced.
func Listen(c ListenConfig) (*Listener, error) {
	address := &net.UnixAddr{Net: "unixpacket", Name: c.Address}
	socket, err := net.ListenUnix(address.Net, address)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(address) {
		if err := os.Remove(c.Address); err != nil {
			return nil, fmt.Errorf("memif: remove abandoned socket: %w", err)
		}
		socket, err = net.ListenUnix(address.Net, address)
	}
	if err != nil {
		return nil, fmt.Errorf("memif: %w", err)
	}
	l, err := NewListener(socket, c)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return l, nil
}

// abandoned reports whether the path is a socket that nobody listens on.
func abandoned(address *net.UnixAddr) bool {
	info, err := os.Lstat(address.Name)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.DialUnix(address.Net, nil, address)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// NewListener serves a socket that the caller made, of the network
// "unixpacket", and closes it in the end. The address in c is not looked at.
func NewListener(socket *net.UnixListener, c ListenConfig) (*Listener, error) {
	defaults(&c.QueuePairs, 16)
	defaults(&c.RingSize, MaxRingSize)
	if c.Application == "" {
		c.Application = defaultApplication
	}
	defaults(&c.HandshakeTimeout, handshakeTimeout)
	err := errors.Join(
		within("queue pairs", c.QueuePairs, 1, MaxQueuePairs),
		ringSize(c.RingSize),
		within("handshake timeout", c.HandshakeTimeout, time.Millisecond, time.Hour),
	)
	if err != nil {
		return nil, err
	}
	if err := shortenBacklog(socket); err != nil {
		return nil, fmt.Errorf("memif: listen on %s: %w", socket.Addr(), err)
	}
	l := &Listener{
		config:     c,
		socket:     socket,
		pending:    make(chan struct{}, maxPending),
		handshakes: limiter{burst: handshakeBurst, interval: handshakeInterval},
		guesses:    limiter{burst: guessBurst, interval: guessInterval},
		interfaces: map[uint32]*Interface{},
		conns:      map[*Conn]struct{}{},
		stop:       make(chan struct{}),
	}
	l.serve.Go(l.accept)
	return l, nil
}

// shortenBacklog listens again: the length that package net chose is for
// servers that want to lose nobody.
func shortenBacklog(socket *net.UnixListener) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = unix.Listen(int(fd), backlog) })
	return errors.Join(err, inner)
}

// Addr is the socket's address.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Add makes an interface that slaves can connect to.
func (l *Listener) Add(c Config) (*Interface, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	i := newInterface(c, func() { l.remove(c.ID) })
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stop:
		return nil, fmt.Errorf("memif: add interface %d: %w", c.ID, ErrClosed)
	default:
	}
	if l.interfaces[c.ID] != nil {
		return nil, fmt.Errorf("memif: %s has an interface %d already", l.socket.Addr(), c.ID)
	}
	l.interfaces[c.ID] = i
	return i, nil
}

func (l *Listener) remove(id uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.interfaces, id)
}

// Refused counts the peers that were not connected.
func (l *Listener) Refused() map[Reason]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused.byReason()
}

// Close closes the socket and all its interfaces. When it returns nothing of
// them is left.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		err = l.socket.Close()
		l.mu.Lock()
		close(l.stop)
		var interfaces []*Interface
		for _, i := range l.interfaces {
			interfaces = append(interfaces, i)
		}
		for c := range l.conns {
			_ = c.fail(ErrClosed)
		}
		l.mu.Unlock()
		for _, i := range interfaces {
			i.Close()
		}
		l.serve.Wait()
	})
	return err
}

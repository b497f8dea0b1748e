// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/polynic/polynic/memif/internal/shm"
	"github.com/polynic/polynic/memif/internal/wire"
)

// Conn is one connection of an Interface to a peer, from CONNECTED until either
// side ends it. An Interface that is connected again has another Conn, with
// other queues.
type Conn struct {
	control   channel
	ifc       *Interface // nil until a slave has said which it wants
	peer      Peer
	maxPacket int

	regions []*shm.Region
	memory  [][]byte // their bytes
	rx      []*RxQueue
	tx      []*TxQueue
	sleeper sleeper // on all of rx
	turn    int     // of the queue that ReadBatch took from last

	mu   sync.Mutex
	err  error         // why it ended
	done chan struct{} // closed when it has ended and nothing of it is left
}

func newConn(control *net.UnixConn) (*Conn, error) {
	p, err := processOf(control)
	return &Conn{
		control: channel{control},
		peer:    Peer{Process: p},
		done:    make(chan struct{}),
	}, err
}

// Peer tells who is on the other side.
func (c *Conn) Peer() Peer { return c.peer }

// RxQueues gives the queues to receive from. There is at least one.
func (c *Conn) RxQueues() []*RxQueue { return c.rx }

// TxQueues gives the queues to send on. There is at least one.
func (c *Conn) TxQueues() []*TxQueue { return c.tx }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended, or is about to; nil before.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Disconnect ends the connection, telling the peer why. The interface stays,
// and may be connected again.
func (c *Conn) Disconnect(why string) {
	_ = c.fail(fmt.Errorf("%w: %s", ErrClosed, why))
}

// fail ends the connection with the first error it is given, and returns that.
// It does not wait.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		_ = c.control.SetReadDeadline(time.Unix(1, 0)) // wakes the connection's goroutine
	}
	return c.err
}

// allow gives the control channel d from now, or for ever if d is 0.
func (c *Conn) allow(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		_ = c.control.SetDeadline(deadline)
	}
}

// side is the state machine of a role until packets may flow.
type side interface {
	// handle takes a message, and the file that came with it, which is its to
	// close, and gives the answer.
	handle(m wire.Message, fd int) (answer, error)
	connected() bool
}

// answer is a message to send, if it is not nil, and the file to go with it,
// which stays the sender's.
type answer struct {
	m  wire.Message
	fd int
}

func (c *Conn) handshake(s side) error {
	for !s.connected() {
		m, fd, err := c.receive()
		if err != nil {
			return err
		}
		a, err := s.handle(m, fd)
		if err != nil {
			return err
		}
		if a.m != nil {
			if err := c.send(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends an answer. If the peer is gone, the error is its last word.
func (c *Conn) send(a answer) error {
	err := c.control.send(a.m, a.fd)
	if !errors.Is(err, ErrPeerGone) {
		return err
	}
	for {
		_, fd, err := c.receive()
		closeFile(fd)
		if err != nil {
			return err
		}
	}
}

// receive gives the next message that is no DISCONNECT.
func (c *Conn) receive() (wire.Message, int, error) {
	m, fd, err := c.control.receive()
	if err != nil {
		if ended := c.Err(); ended != nil && errors.Is(err, ErrTimeout) {
			return nil, -1, ended
		}
		return nil, -1, err
	}
	if d, ok := m.(wire.Disconnect); ok {
		return nil, -1, fmt.Errorf("%w: %s (code %d)", ErrDisconnected, d.Reason, d.Code)
	}
	return m, fd, nil
}

// watch waits for the end of the connection.
func (c *Conn) watch() error {
	c.allow(0)
	m, fd, err := c.receive()
	if err == nil {
		closeFile(fd)
		err = fmt.Errorf("%w: %T while connected", ErrOrder, m)
	}
	return c.fail(err)
}

// release gives back all that the connection has, except the control channel.
func (c *Conn) release() {
	c.sleeper.close()
	for _, q := range c.rx {
		q.sleeper.close()
		q.retire()
	}
	for _, q := range c.tx {
		q.retire()
	}
	for _, r := range c.regions {
		r.Unmap()
	}
}

// addRx and addTx make the next queue of a direction, which takes over the
// eventfd.
func (c *Conn) addRx(fd int) *queue {
	q := &RxQueue{queue: queue{conn: c, index: len(c.rx)}}
	q.interrupt.fd = fd
	c.rx = append(c.rx, q)
	return &q.queue
}

func (c *Conn) addTx(fd int) *queue {
	q := &TxQueue{queue: queue{conn: c, index: len(c.tx)}}
	q.interrupt.fd = fd
	q.interrupt.guard(c)
	c.tx = append(c.tx, q)
	return &q.queue
}

// guard runs f, which uses shared memory outside of the queues' methods.
func (c *Conn) guard(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		if r := recover(); r != nil {
			err = c.faulted(r)
		}
		debug.SetPanicOnFault(before)
	}()
	return f()
}

// owns reports whether a panic is a fault in the connection's memory.
func (c *Conn) owns(panicked any) bool {
	fault, ok := panicked.(interface{ Addr() uintptr })
	if !ok {
		return false
	}
	for _, r := range c.regions {
		if r.Contains(fault.Addr()) {
			return true
		}
	}
	return false
}

// faulted ends the connection after a panic of the goroutine that used its
// rings, whatever the panic was about: others are not affected.
func (c *Conn) faulted(panicked any) error {
	return c.fail(fmt.Errorf("%w: %v", ErrFault, panicked))
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Interface is one end of a memif: a master's, made by Listener.Add, or a
// slave's, made by Dial. It is connected, and connected again, for as long as
// it is open. All its methods may be called from any goroutine.
type Interface struct {
	config Config
	remove func() // takes the interface from its listener, or ends its dialing
	slot   chan struct{}
	once   sync.Once

	mu      sync.Mutex
	closed  bool
	holder  *Conn         // of the slot, perhaps still in its handshake
	conn    *Conn         // connected
	changed chan struct{} // closed and replaced when conn or closed changes
	status  Status        // of the connections before this one
	ends    tally
}

// Status is what an Interface tells about itself.
type Status struct {
	Connected bool
	// Peer, RxQueues, TxQueues and RingSize (that of the first ring) are those
	// of the connection.
	Peer               Peer
	RxQueues, TxQueues int
	RingSize           int
	// Rx and Tx count over all connections.
	Rx RxCounters
	Tx TxCounters
	// Connects counts connections. Ends counts by the reason those that are over,
	// and a slave's handshakes that came to nothing; a master's are its
	// Listener's to count. LastEnd is the last of these reasons, in full.
	Connects uint64
	Ends     map[Reason]uint64
	LastEnd  error
}

func newInterface(c Config, remove func()) *Interface {
	return &Interface{config: c, remove: remove, slot: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Status gives the state and the counters.
func (i *Interface) Status() Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.status
	s.Ends = i.ends.byReason()
	if c := i.conn; c != nil {
		s.Connected = true
		s.Peer = c.peer
		s.RxQueues, s.TxQueues = len(c.rx), len(c.tx)
		s.RingSize = c.rx[0].RingSize()
		s.add(c)
	}
	return s
}

func (s *Status) add(c *Conn) {
	for _, q := range c.rx {
		s.Rx.add(q.Counters())
	}
	for _, q := range c.tx {
		s.Tx.add(q.Counters())
	}
}

// Connected waits until the interface is connected, and gives the connection.
func (i *Interface) Connected(ctx context.Context) (*Conn, error) {
	for {
		i.mu.Lock()
		c, closed, changed := i.conn, i.closed, i.changed
		i.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case c != nil:
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Close ends the connection, if there is one, and makes the interface unknown.
// When it returns nothing of it is left.
func (i *Interface) Close() error {
	i.once.Do(func() {
		i.mu.Lock()
		i.closed = true
		i.notify()
		holder := i.holder
		i.mu.Unlock()
		if holder != nil {
			_ = holder.fail(ErrClosed)
		}
		i.remove()
		i.slot <- struct{}{} // and keep it
	})
	return nil
}

// notify wakes those who wait for a change. The lock is held.
func (i *Interface) notify() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// busyTimeout is how long a new peer waits for the end of the one before it,
// whose death may not have been noticed yet.
const busyTimeout = 200 * time.Millisecond

// claim reserves the interface for a connection.
func (i *Interface) claim(c *Conn) error {
	timeout := time.NewTimer(busyTimeout)
	defer timeout.Stop()
	select {
	case i.slot <- struct{}{}:
	case <-timeout.C:
		return fmt.Errorf("%w: id %d", ErrBusy, i.config.ID)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		<-i.slot
		return ErrClosed
	}
	i.holder = c
	c.ifc = i
	c.maxPacket = i.config.MaxPacket
	return nil
}

// connected makes the connection that of the interface, until it is unclaimed.
func (i *Interface) connected(c *Conn) {
	i.mu.Lock()
	i.conn = c
	i.status.Connects++
	i.notify()
	i.mu.Unlock()
	if i.config.OnConnect != nil {
		i.config.OnConnect(c)
	}
}

// missed notes why a slave was not connected.
func (i *Interface) missed(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status.LastEnd = err
	var r Reason
	if errors.As(err, &r) {
		i.ends[r]++
	}
}

// unclaim makes the interface free for the next connection. err is why this
// one, of which no memory is left, has ended.
func (i *Interface) unclaim(c *Conn, err error) {
	i.mu.Lock()
	wasConnected := i.conn == c
	if wasConnected {
		i.status.add(c)
		i.ends[reasonOf(err)]++
		i.status.LastEnd = err
		i.conn = nil
		i.notify()
	}
	i.holder = nil
	i.mu.Unlock()
	if wasConnected && i.config.OnDisconnect != nil {
		i.config.OnDisconnect(c, err)
	}
	<-i.slot
}

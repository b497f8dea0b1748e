// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/polynic/polynic/memif/internal/shm"
)

// queue is one ring and this side's view of it, which alone is trusted: where
// the next slot is, and, for a slave, where its buffers are.
//
// A queue is used under its lock, so that the memory can be unmapped under it
// too, and with faults turned into panics, which leave turns into an end of the
// connection.
type queue struct {
	conn  *Conn
	index int
	ring  shm.Ring
	// memory is every region, those of the slave as the master sees them.
	memory [][]byte
	// own is a slave's buffers for this ring, one for each slot, and nil for a
	// master; ownAt is its offset in region 0.
	own    []byte
	ownAt  uint32
	buffer int // length of each

	mu           sync.Mutex
	gone         bool   // the memory is unmapped
	panicOnFault bool   // the setting of the goroutine that entered
	next         uint16 // index of the next slot to use
	interrupt    interrupt
}

func (q *queue) slave() bool { return q.own != nil }

// enter comes before every access to memory that is shared; leave is deferred.
func (q *queue) enter() {
	q.mu.Lock()
	q.panicOnFault = debug.SetPanicOnFault(true)
}

// leave ends the connection if the access failed.
func (q *queue) leave(err *error) {
	if r := recover(); r != nil {
		*err = q.conn.faulted(r)
	}
	q.exit()
}

func (q *queue) exit() {
	debug.SetPanicOnFault(q.panicOnFault)
	q.mu.Unlock()
}

// ownDescriptor says where a slave's buffer of a slot is.
func (q *queue) ownDescriptor(index uint16) shm.Descriptor {
	at := q.ring.Mask(index) * q.buffer
	return shm.Descriptor{Offset: q.ownAt + uint32(at), Length: uint32(q.buffer)}
}

// publish shows the peer that the slots before next are done with. Of both
// kinds of ring, the slave moves the head and the master the tail.
func (q *queue) publish(next uint16) {
	if q.slave() {
		q.ring.SetHead(next)
	} else {
		q.ring.SetTail(next)
	}
}

// retire waits for the access that is under way and lets none follow.
func (q *queue) retire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = true
	q.interrupt.close()
}

func errIndex(what string, distance, most uint16) error {
	return fmt.Errorf("%w: %s is %d slots away, at most %d are possible", ErrIndex, what, distance, most)
}

func errDescriptor(d shm.Descriptor) error {
	return fmt.Errorf("%w: region %d, offset %d, length %d", ErrDescriptor, d.Region, d.Offset, d.Length)
}

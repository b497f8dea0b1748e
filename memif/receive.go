// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"fmt"

	"github.com/polynic/polynic/memif/internal/shm"
)

// RxQueue is a ring that the peer sends on. Its methods may be called from
// several goroutines, one after the other; none of them allocates.
type RxQueue struct {
	queue
	counters RxCounters
	// half is the peer's index when it had published part of a packet only: until
	// it moves on, there is nothing to receive.
	half    uint16
	isHalf  bool
	sleeper sleeper
}

// Index is the number of the queue, from 0.
func (q *RxQueue) Index() int { return q.index }

// RingSize is the number of slots.
func (q *RxQueue) RingSize() int { return int(q.ring.Slots()) }

// Counters gives the counters of this connection.
func (q *RxQueue) Counters() RxCounters {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counters
}

// Receive copies packets, as many as there are and fit, into the capacities of
// the slices, and cuts these to the packets' lengths. It does not wait: n is 0
// when there is none. Packets longer than their slice are dropped and counted.
// An error means that the connection has ended, by the peer's fault or not.
func (q *RxQueue) Receive(packets [][]byte) (n int, err error) {
	q.enter()
	defer q.leave(&err)
	slots, err := q.slots()
	if err != nil || slots == 0 {
		return 0, err
	}
	before := q.next
	for n < len(packets) && slots > 0 {
		buffer := packets[n][:cap(packets[n])]
		used, length, err := q.copyPacket(buffer[:min(len(buffer), q.conn.maxPacket)], slots)
		if err != nil {
			return n, q.conn.fail(err)
		}
		if used == 0 {
			break
		}
		q.consume(used)
		slots -= used
		if q.count(length, len(buffer)) {
			packets[n] = buffer[:length]
			n++
		}
	}
	if q.next != before {
		q.release()
	}
	return n, nil
}

// slots is the number of slots that the peer has filled.
func (q *RxQueue) slots() (uint16, error) {
	if q.gone {
		return 0, q.conn.Err()
	}
	index := q.peerIndex()
	n, most := index-q.next, q.ring.Slots()
	if n > most {
		return 0, q.conn.fail(errIndex("the peer's index", n, most))
	}
	if q.isHalf && index == q.half {
		return 0, nil
	}
	q.isHalf = false
	return n, nil
}

func (q *RxQueue) peerIndex() uint16 {
	if q.slave() {
		return q.ring.Tail()
	}
	return q.ring.Head()
}

// copyPacket copies the packet that starts at the next slot into the buffer,
// and gives the number of slots it is in and its length, which may be more than
// the buffer's: then it is not worth keeping. It uses no slot when the end of
// the packet is not published yet.
func (q *RxQueue) copyPacket(buffer []byte, slots uint16) (used uint16, length int, err error) {
	for used < slots {
		piece, more, err := q.piece(q.next + used)
		if err != nil {
			return 0, 0, err
		}
		used++
		if length <= len(buffer) {
			copy(buffer[length:], piece)
			length += len(piece)
		}
		if !more {
			return used, length, nil
		}
	}
	return 0, 0, q.unfinished(slots)
}

// piece is the part of a packet in one slot, as its descriptor says, which is
// read once.
func (q *RxQueue) piece(index uint16) (piece []byte, more bool, err error) {
	d := q.ring.Load(index)
	more = d.Flags&shm.FlagNext != 0
	if q.slave() {
		// The master fills the slot's buffer; where that is, is not its to say.
		if d.Length > uint32(q.buffer) {
			return nil, false, errDescriptor(d)
		}
		at := q.ring.Mask(index) * q.buffer
		return q.own[at : at+int(d.Length)], more, nil
	}
	piece, ok := shm.Slice(q.memory, d)
	if !ok {
		return nil, false, errDescriptor(d)
	}
	return piece, more, nil
}

// unfinished remembers that the last packet in the ring lacks its end, which no
// longer packet can ever get.
func (q *RxQueue) unfinished(slots uint16) error {
	if slots == q.ring.Slots() {
		return fmt.Errorf("%w: a chain of %d slots has no end", ErrDescriptor, slots)
	}
	q.half, q.isHalf = q.next+slots, true
	return nil
}

// consume takes slots out of the ring. A slave's are made ready for use again
// at once: the master sees that when they are released.
func (q *RxQueue) consume(slots uint16) {
	if q.slave() {
		for i := range slots {
			q.ring.Store(q.next+i, q.ownDescriptor(q.next+i))
		}
	}
	q.next += slots
}

// release gives the slots that were consumed back to the sender.
func (q *RxQueue) release() {
	if q.slave() {
		q.publish(q.next + q.ring.Slots())
		return
	}
	q.publish(q.next)
}

// offer gives a slave's slots to the master for the first time.
func (q *RxQueue) offer() {
	q.next -= q.ring.Slots()
	q.consume(q.ring.Slots())
	q.release()
}

// count counts a packet, and reports whether it is one to keep.
func (q *RxQueue) count(length, room int) bool {
	switch {
	case length == 0:
		q.counters.Empty++
	case length > min(room, q.conn.maxPacket):
		q.counters.TooLong++
	default:
		q.counters.Packets++
		q.counters.Bytes += uint64(length)
		return true
	}
	return false
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"

	"github.com/polynic/polynic/memif/internal/shm"
)

// TxQueue is a ring that packets are sent on. Its methods may be called from
// several goroutines, one after the other; none of them allocates.
type TxQueue struct {
	queue
	counters TxCounters
}

// Index is the number of the queue, from 0.
func (q *TxQueue) Index() int { return q.index }

// RingSize is the number of slots.
func (q *TxQueue) RingSize() int { return int(q.ring.Slots()) }

// Counters gives the counters of this connection.
func (q *TxQueue) Counters() TxCounters {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counters
}

// Transmit copies packets into the ring, in order, as many as there is room
// for, and wakes the peer if it asked for that. It does not wait: n is less
// than len(packets) when the ring is full. A packet that is empty, longer than
// the interface's longest, or more than the ring can hold is dropped, counted
// as such, and part of n. An error means that the connection has ended.
func (q *TxQueue) Transmit(packets [][]byte) (n int, err error) {
	q.enter()
	defer q.leave(&err)
	slots, err := q.slots()
	if err != nil {
		return 0, err
	}
	before := q.next
	for n < len(packets) {
		w := writer{q: q, slots: slots}
		err := q.settle(&w, len(packets[n]), w.write(packets[n]))
		if err != nil && !errors.Is(err, errFull) {
			return n, q.conn.fail(err)
		}
		if err != nil {
			break
		}
		slots -= w.used
		n++
	}
	q.flush(before)
	return n, nil
}

// slots is the number of slots that can be filled.
func (q *TxQueue) slots() (uint16, error) {
	if q.gone {
		return 0, q.conn.Err()
	}
	if !q.slave() {
		n := q.ring.Head() - q.next
		if n > q.ring.Slots() {
			return 0, q.conn.fail(errIndex("the head", n, q.ring.Slots()))
		}
		return n, nil
	}
	used := q.next - q.ring.Tail()
	if used > q.ring.Slots() {
		return 0, q.conn.fail(errIndex("the tail", used, q.ring.Slots()))
	}
	return q.ring.Slots() - used, nil
}

// errFull: no slots are left.
var errFull = errors.New("ring is full")

// settle makes a packet that was written, with the result err, part of the
// ring, or counts why it is none. The error is errFull if the packet may be
// tried again later.
func (q *TxQueue) settle(w *writer, length int, err error) error {
	switch {
	case err == nil && length > 0:
		w.store(0)
		q.next += w.used
		q.counters.Packets++
		q.counters.Bytes += uint64(length)
		return nil
	case err == nil:
		q.counters.Empty++
	case errors.Is(err, errFull) && w.slots < q.most():
		q.counters.Full++
		w.used = 0
		return err
	case errors.Is(err, errFull), errors.Is(err, errTooLong):
		q.counters.TooLong++
		w.used = 0
	default:
		return err
	}
	return nil
}

// most is the number of slots after which it is of no use to wait for more. A
// slave gets all of its own back. A master gets what the slave offers, which
// may keep some: DPDK offers 32 at a time or none.
func (q *TxQueue) most() uint16 {
	if q.slave() {
		return q.ring.Slots()
	}
	return q.ring.Slots()/2 + 1
}

// flush publishes the packets since before and wakes a peer that sleeps.
func (q *TxQueue) flush(before uint16) {
	if q.next == before {
		return
	}
	q.publish(q.next)
	if !q.ring.Masked() {
		q.counters.Interrupts++
		q.interrupt.kick()
	}
}

// empty is the buffer of a slot to fill, with its descriptor, which is read
// once.
func (q *TxQueue) empty(index uint16) ([]byte, shm.Descriptor, error) {
	if q.slave() {
		at := q.ring.Mask(index) * q.buffer
		return q.own[at : at+q.buffer], q.ownDescriptor(index), nil
	}
	d := q.ring.Load(index)
	room, ok := shm.Slice(q.memory, d)
	if !ok || len(room) == 0 {
		return nil, d, errDescriptor(d)
	}
	return room, d, nil
}

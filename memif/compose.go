// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import "errors"

// ErrBuffer means that a packet is longer than the peer's next buffer, or than
// the interface's longest packet: it is for Transmit, which spreads packets over
// several buffers, or drops and counts them.
var ErrBuffer = errors.New("packet is longer than a buffer")

// Composer makes packets, one after another.
type Composer interface {
	// NextLen is the length of the next packet in bytes, 0 when there is none.
	NextLen() int
	// Next writes the next packet to a buffer of that length. It must not read
	// there: the peer may be writing at the same time.
	Next(buffer []byte)
}

// Compose lets packets be written straight into the peer's buffers, and is
// otherwise like Transmit: n is the number of packets, after which there are no
// more, or no room is left. Those that follow on ErrBuffer are the caller's to
// send. Any other error means that the connection has ended.
func (q *TxQueue) Compose(c Composer) (n int, err error) {
	q.enter()
	defer q.leave(&err)
	slots, err := q.slots()
	if err != nil {
		return 0, err
	}
	before := q.next
	for length := c.NextLen(); length > 0; length = c.NextLen() {
		if slots == 0 {
			q.counters.Full++
			break
		}
		room, d, broken := q.empty(q.next)
		if broken != nil {
			return n, q.conn.fail(broken)
		}
		if length > min(len(room), q.conn.maxPacket) {
			err = ErrBuffer
			break
		}
		c.Next(room[:length:length])
		d.Flags, d.Length = 0, uint32(length)
		q.ring.Store(q.next, d)
		q.next++
		slots--
		q.counters.Packets++
		q.counters.Bytes += uint64(length)
		n++
	}
	q.flush(before)
	return n, err
}

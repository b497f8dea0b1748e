// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"

	"github.com/polynic/polynic/memif/internal/shm"
)

// errTooLong: a packet is longer than the interface takes.
var errTooLong = errors.New("packet is too long")

// writer spreads one packet over the next slots of a ring. Until next has moved
// past them they are not part of the ring, so that a packet that did not fit
// leaves no trace.
type writer struct {
	q     *TxQueue
	slots uint16 // that may be used
	used  uint16

	d      shm.Descriptor // of the last slot that is used
	room   []byte         // that its buffer still has
	filled uint32         // bytes in that buffer
	total  int            // bytes of the packet
}

func (w *writer) write(p []byte) error {
	w.total += len(p)
	if w.total > w.q.conn.maxPacket {
		return errTooLong
	}
	for len(p) > 0 {
		if len(w.room) == 0 {
			if err := w.advance(); err != nil {
				return err
			}
		}
		n := copy(w.room, p)
		p, w.room = p[n:], w.room[n:]
		w.filled += uint32(n)
	}
	return nil
}

// advance goes on in the next slot.
func (w *writer) advance() error {
	if w.used == w.slots {
		return errFull
	}
	room, d, err := w.q.empty(w.q.next + w.used)
	if err != nil {
		return err
	}
	if w.used > 0 {
		w.store(shm.FlagNext)
	}
	w.d, w.room, w.filled = d, room, 0
	w.used++
	return nil
}

// store writes the descriptor of the last slot. One that is followed by another
// is full: if the packet is given up, the slot is as empty as it was.
func (w *writer) store(flags uint16) {
	w.d.Flags, w.d.Length = flags, w.filled
	w.q.ring.Store(w.q.next+w.used-1, w.d)
}

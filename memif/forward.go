// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import "errors"

// Forward moves up to limit packets from one interface to another: each is
// copied once, from the memory of one peer to that of the other. It does not
// wait: n is 0 when there is no packet, or no room for it, in which case it
// stays where it is. Packets that are dropped, as Receive and Transmit would,
// count too. An error means that the connection of one of the queues has ended;
// their Conns tell which.
func Forward(dst *TxQueue, src *RxQueue, limit int) (n int, err error) {
	src.enter() // everywhere the receiving queue is locked first
	dst.enter()
	defer leave(dst, src, &err)
	empty, err := dst.slots()
	if err != nil {
		return 0, err
	}
	filled, err := src.slots()
	if err != nil || filled == 0 {
		return 0, err
	}
	before := dst.next
	for n < limit && filled > 0 {
		w := writer{q: dst, slots: empty}
		var used uint16
		if used, err = forward(&w, src, filled); used == 0 {
			break
		}
		filled -= used
		empty -= w.used
		n++
	}
	dst.flush(before)
	if n > 0 {
		src.release()
	}
	if errors.Is(err, errFull) {
		err = nil
	}
	return n, err
}

// forward moves the packet in the next slots of src. It uses none of them if
// the packet's end is not published yet, or with errFull.
func forward(w *writer, src *RxQueue, filled uint16) (used uint16, err error) {
	var written error
	for used < filled {
		piece, more, err := src.piece(src.next + used)
		if err != nil {
			return 0, src.conn.fail(err)
		}
		used++
		if written == nil {
			written = w.write(piece)
		}
		if more {
			continue
		}
		err = w.q.settle(w, w.total, written)
		switch {
		case errors.Is(err, errFull):
			return 0, err
		case err != nil:
			return 0, w.q.conn.fail(err)
		}
		src.consume(used)
		src.count(w.total, w.total)
		return used, nil
	}
	if err := src.unfinished(filled); err != nil {
		return 0, src.conn.fail(err)
	}
	return 0, nil
}

// leave ends the connection whose memory was at fault.
func leave(dst *TxQueue, src *RxQueue, err *error) {
	if r := recover(); r != nil {
		if src.conn.owns(r) {
			*err = src.conn.faulted(r)
		} else {
			*err = dst.conn.faulted(r)
		}
	}
	dst.exit()
	src.exit()
}

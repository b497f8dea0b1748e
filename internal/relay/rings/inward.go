// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

// etherLen is the length of an Ethernet header.
const etherLen = 14

// inward moves packets from a queue of the application's to the kernel until
// the connection or ctx ends (nil), or the tap is of no more use.
func (t *Twin) inward(ctx context.Context, rx *memif.RxQueue, q tap.Queue) error {
	for ctx.Err() == nil && rx.Wait(ctx) == nil {
		if err := t.inBursts(ctx, rx, q); err != nil {
			return err
		}
	}
	return nil
}

// inBursts moves packets until there are none for the moment.
func (t *Twin) inBursts(ctx context.Context, rx *memif.RxQueue, q tap.Queue) error {
	w := t.spaces.get()
	defer t.spaces.put(w)
	headroom := 0
	if t.Mode == memif.IP {
		headroom = etherLen
	}
	room := (headroom + t.MaxPacket + 7) &^ 7
	for ctx.Err() == nil {
		w.packets = w.packets[:0]
		for at := 0; len(w.packets) < burst && at+room <= len(w.slab); at += room {
			w.packets = append(w.packets, w.slab[at+headroom:at+headroom:at+room])
		}
		n, err := rx.Receive(w.packets)
		if n == 0 || err != nil {
			return nil
		}
		w.packets = w.packets[:n]
		for i, p := range w.packets {
			if headroom > 0 {
				w.packets[i] = t.frame(w.slab[i*room:], len(p))
			}
		}
		if t.bounds != nil {
			w.packets = t.bounds.pass(w.packets)
			t.counters.deniedIn.Add(uint64(n - len(w.packets)))
		}
		if err := t.deliver(w, q); err != nil {
			return err
		}
	}
	return nil
}

// frame makes an Ethernet frame of the IP packet that is behind the room for
// its header.
func (t *Twin) frame(buffer []byte, length int) []byte {
	f := buffer[:etherLen+length]
	copy(f, t.Near[:])
	copy(f[6:], t.Far[:])
	f[12], f[13] = 0x08, 0x00
	if f[etherLen]>>4 == 6 {
		f[12], f[13] = 0x86, 0xdd
	}
	return f
}

// deliver gives packets to the kernel, in as few frames as possible.
func (t *Twin) deliver(w *workspace, q tap.Queue) error {
	for i := range w.merger.Merge(w.packets) {
		w.pieces = w.merger.Frame(i, &w.header, w.pieces[:0])
		switch err := w.write(q.FD()); {
		case err == nil:
			t.counters.framesIn.Add(1)
		case errors.Is(err, unix.EBADFD):
			return fmt.Errorf("write to the tap: %w", err)
		default:
			t.counters.dropsIn.Add(uint64(len(w.pieces)))
		}
	}
	return nil
}

// write writes the header and the pieces in one go. It is writev(2) without
// the allocations of unix.Writev.
func (w *workspace) write(fd int) error {
	w.vector[0].Base = &w.header[0]
	w.vector[0].SetLen(len(w.header))
	for i, p := range w.pieces {
		w.vector[i+1].Base = unsafe.SliceData(p)
		w.vector[i+1].SetLen(len(p))
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&w.vector[0])), uintptr(len(w.pieces)+1))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

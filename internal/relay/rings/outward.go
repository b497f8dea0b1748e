// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/gso"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

// outlet moves frames of one queue of a tap to the application.
type outlet struct {
	*Twin
	index int
	room  patience
	err   error // the tap's last

	// Of the burst under way.
	tx   *memif.TxQueue // nil: drop
	used int            // bytes of the slab
}

// outward moves frames until ctx ends (nil) or the tap is of no more use.
func (t *Twin) outward(ctx context.Context, index int, q tap.Queue) error {
	file, err := q.Dup()
	if err != nil {
		return err
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("read the tap: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	o := &outlet{Twin: t, index: index}
	serve := func(fd uintptr) bool { return o.burst(ctx, int(fd)) }
	for ctx.Err() == nil {
		err := raw.Read(serve)
		if err == nil {
			err = o.err
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("read the tap: %w", err)
		}
	}
	return nil
}

// turn is how many frames are read before others may have the processor.
const turn = 64

// burst moves frames, and reports false when there are no more for the moment.
func (o *outlet) burst(ctx context.Context, fd int) (more bool) {
	w := o.spaces.get()
	defer o.spaces.put(w)
	o.tx = nil
	if c := o.conn.Load(); c != nil {
		o.tx = c.TxQueues()[o.index%len(c.TxQueues())]
	}
	w.packets, o.used = w.packets[:0], 0
	defer o.flush(ctx, w)
	at := 0
	for range turn {
		n, err := unix.Read(fd, w.frames[at:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			o.err = err
			return true
		}
		o.counters.framesOut.Add(1)
		if o.take(ctx, w, w.frames[at:at+n]) {
			at += n
		}
		if len(w.packets) == 0 {
			at = 0
		} else if at > maxFrame {
			o.flush(ctx, w)
			at = 0
		}
	}
	return true
}

// take makes packets of a frame, and reports whether one of them is still in the
// frame.
func (o *outlet) take(ctx context.Context, w *workspace, frame []byte) (inside bool) {
	if o.tx == nil || len(frame) < gso.HeaderLen+etherLen {
		o.counters.dropsOut.Add(1)
		return false
	}
	if !gso.Large(frame) {
		packet, err := gso.Complete(frame)
		if err != nil {
			o.counters.dropsOut.Add(1)
			return false
		}
		return o.add(ctx, w, packet)
	}
	segments, err := gso.Cut(frame)
	if err != nil {
		o.counters.dropsOut.Add(1)
		return false
	}
	w.segments = segments
	if o.Mode == memif.Ethernet && o.compose(ctx, w) {
		return false
	}
	for n := w.segments.NextLen(); n > 0; n = w.segments.NextLen() {
		if o.used+n > len(w.slab) {
			o.flush(ctx, w)
		}
		p := w.slab[o.used : o.used+n]
		w.segments.Next(p)
		o.used += n
		o.add(ctx, w, p)
	}
	return false
}

// compose writes the packets of a large frame straight into the application's
// buffers, and reports whether that is done: not if these are too small.
func (o *outlet) compose(ctx context.Context, w *workspace) bool {
	o.flush(ctx, w)
	for w.segments.NextLen() > 0 {
		n, err := o.tx.Compose(&w.segments)
		if n > 0 {
			o.room = patience{}
		}
		switch {
		case errors.Is(err, memif.ErrBuffer):
			return false
		case err != nil, n == 0 && !o.room.wait(ctx, o.Patience):
			o.counters.dropsOut.Add(uint64(w.segments.Left()))
			return true
		}
	}
	return true
}

// add adds a packet to the burst, and reports whether it is still there.
func (o *outlet) add(ctx context.Context, w *workspace, packet []byte) bool {
	if o.Mode == memif.IP {
		ethertype := uint16(packet[12])<<8 | uint16(packet[13])
		if ethertype != unix.ETH_P_IP && ethertype != unix.ETH_P_IPV6 {
			o.counters.dropsOut.Add(1)
			return false
		}
		packet = packet[etherLen:]
	}
	w.packets = append(w.packets, packet)
	if len(w.packets) < burst {
		return true
	}
	o.flush(ctx, w)
	return false
}

// flush sends the packets of the burst. A full ring is waited for, as the
// kernel keeps what comes meanwhile; unless it has been full for so long that
// the application must be stuck.
func (o *outlet) flush(ctx context.Context, w *workspace) {
	packets := w.packets
	for len(packets) > 0 {
		n, err := o.tx.Transmit(packets)
		packets = packets[n:]
		if n > 0 {
			o.room = patience{}
			continue
		}
		if err != nil || !o.room.wait(ctx, o.Patience) {
			o.counters.dropsOut.Add(uint64(len(packets)))
			break
		}
	}
	w.packets, o.used = w.packets[:0], 0
}

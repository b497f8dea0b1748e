// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package pump

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Lane moves frames from one end to another.
type Lane struct {
	from, to End
	failed   func(error)

	mu   sync.Mutex // held while a worker serves the lane
	over bool       // failed or removed: the ends are not touched any more

	frames, bytes, drops atomic.Uint64
}

// Stats counts what a lane moved.
type Stats struct {
	Frames uint64
	// Bytes is without the frames' virtio_net_hdr.
	Bytes uint64
	// Drops counts frames that the receiving end did not take.
	Drops uint64
}

// Stats gives the counters, those of a burst under way not included.
func (l *Lane) Stats() Stats {
	return Stats{Frames: l.frames.Load(), Bytes: l.bytes.Load(), Drops: l.drops.Load()}
}

// serve moves a burst and arms the lane for the next. An event that was on its
// way when the lane's descriptor got a new owner serves the new one, to no harm:
// there is nothing to read, or something that would have been read anyway.
func (l *Lane) serve(buffer []byte, p *Pump) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	err := l.move(buffer)
	if err == nil {
		err = p.arm(unix.EPOLL_CTL_MOD, l.from.FD())
	}
	if errors.Is(err, unix.ENOENT) {
		err = nil // being removed, or not added yet
	}
	l.over = err != nil
	l.mu.Unlock()
	if err != nil {
		l.failed(err)
	}
}

// move moves frames until there are no more or the burst is over.
func (l *Lane) move(buffer []byte) error {
	var s Stats
	defer func() {
		l.frames.Add(s.Frames)
		l.bytes.Add(s.Bytes)
		l.drops.Add(s.Drops)
	}()
	for range burst {
		n, err := l.from.Read(buffer)
		switch {
		case err == unix.EAGAIN: //nolint:errorlint // the contract of End, once per burst
			return nil
		case err == unix.EINTR: //nolint:errorlint // as above
			continue
		case err != nil:
			return err
		}
		// Whatever the error, there is nobody to hand the frame back to, and
		// waiting would only let the sender's queue overflow instead: a tap
		// takes a frame at once or not at all (EIO while it is down, ENOMEM).
		// That the other end is gone is noticed where it is read.
		if err := l.to.Write(buffer[:n]); err != nil {
			s.Drops++
			continue
		}
		s.Frames++
		s.Bytes += uint64(n - HeaderLen)
	}
	return nil
}

// retire waits for the worker that serves the lane and lets none follow.
func (l *Lane) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

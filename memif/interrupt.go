// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// interrupt is the eventfd of a ring, by which the sender wakes the receiver.
//
// Both peers have the same open file. So whichever of them is hostile can turn
// O_NONBLOCK off and fill the counter, and the other blocks in its next write,
// or read. Reads therefore ask not to wait (RWF_NOWAIT), which eventfds do not
// offer for writes; a write is watched instead.
type interrupt struct {
	fd      int
	watch   *time.Timer // of a sender
	kicking atomic.Bool

	mu     sync.Mutex // held while fd is looked into, or closed
	closed bool
}

// kickLimit is how long a write to an eventfd may take before it is looked
// into. It takes a microsecond, or as long as the processor is given to others.
const kickLimit = 2 * time.Millisecond

func newEventfd() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("%w: eventfd: %w", ErrResources, err)
	}
	return fd, nil
}

// checkEventfd refuses the file that a slave sent for a ring if it is of
// another kind: there a write could do, or cost, anything.
func checkEventfd(fd int) error {
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResources, err)
	}
	if link != "anon_inode:[eventfd]" {
		return fmt.Errorf("%w: not an eventfd", ErrInterrupt)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("%w: %w", ErrInterrupt, err)
	}
	return nil
}

// guard makes ready for kicks; c is ended by one that blocks.
func (i *interrupt) guard(c *Conn) {
	i.watch = time.AfterFunc(time.Hour, func() { i.look(c) })
	i.watch.Stop()
}

// kick wakes the receiver. The queue is locked.
func (i *interrupt) kick() {
	i.kicking.Store(true)
	i.watch.Reset(kickLimit)
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// EAGAIN: the counter is full, and the receiver as awake as it can be.
	_, _ = unix.Write(i.fd, one[:])
	i.kicking.Store(false)
	i.watch.Stop()
}

// look ends the connection, and the write, if a write to the eventfd is
// blocked: 2^64-2 wakes that nobody took note of are no accident.
func (i *interrupt) look(c *Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || !i.kicking.Load() {
		return
	}
	poll := []unix.PollFd{{Fd: int32(i.fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, 0); n == 0 && err == nil {
		_ = c.fail(fmt.Errorf("%w: a wake-up blocks", ErrInterrupt))
		i.drain()
	}
	i.watch.Reset(kickLimit)
}

// drain resets the counter, which also ends a write that is blocked.
func (i *interrupt) drain() {
	var counter [8]byte
	_, err := unix.Preadv2(i.fd, [][]byte{counter[:]}, -1, unix.RWF_NOWAIT)
	if errors.Is(err, unix.EOPNOTSUPP) { // before Linux 5.8
		_, _ = unix.Read(i.fd, counter[:])
	}
}

// close closes the file. No kick is under way, and none follows.
func (i *interrupt) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.watch != nil {
		i.watch.Stop()
	}
	i.closed = true
	unix.Close(i.fd)
}

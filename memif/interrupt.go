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
	counter [8]byte // to read into

	// A sender's. The watch runs from a kick until none has come for a while: to
	// start it for each would cost as much as the kick.
	watch   *time.Timer
	watched atomic.Bool
	kicks   atomic.Uint64 // twice their number, less 1 while one is under way

	mu     sync.Mutex // held while fd is looked into, or closed
	closed bool
	seen   uint64 // kicks at the last look
}

// lookInterval is how often the watch looks, so that a write to an eventfd that
// blocks does so for twice as long. It should take a microsecond, or as long as
// the processor is given to others.
const lookInterval = 5 * time.Millisecond

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
	i.kicks.Add(1)
	if !i.watched.Swap(true) {
		i.watch.Reset(lookInterval)
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// EAGAIN: the counter is full, and the receiver as awake as it can be.
	_, _ = unix.Write(i.fd, one[:])
	i.kicks.Add(1)
}

// look ends the connection, and the write, if a write to the eventfd is
// blocked: 2^64-2 wakes that nobody took note of are no accident.
func (i *interrupt) look(c *Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return
	}
	kicks := i.kicks.Load()
	switch {
	case kicks != i.seen:
		i.seen = kicks
	case kicks%2 == 1 && i.full():
		_ = c.fail(fmt.Errorf("%w: a wake-up blocks", ErrInterrupt))
		drain(i.fd, make([]byte, len(i.counter)))
	case kicks%2 == 0:
		i.watched.Store(false)
		if i.kicks.Load() == kicks {
			return // whoever kicks from now on starts the watch
		}
	}
	i.watched.Store(true)
	i.watch.Reset(lookInterval)
}

// full reports whether a write would block.
func (i *interrupt) full() bool {
	poll := []unix.PollFd{{Fd: int32(i.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(poll, 0)
	return n == 0 && err == nil
}

// drain resets the counter before the receiver sleeps. The queue is locked.
func (i *interrupt) drain() { drain(i.fd, i.counter[:]) }

// drain reads an eventfd without waiting, which also ends a write that is
// blocked.
func drain(fd int, counter []byte) {
	_, err := unix.Preadv2(fd, [][]byte{counter}, -1, unix.RWF_NOWAIT)
	if errors.Is(err, unix.EOPNOTSUPP) { // before Linux 5.8
		_, _ = unix.Read(fd, counter)
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

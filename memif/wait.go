// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever sleeps looks at the rings again without having been woken: a peer
// written in C that sent at the moment when it fell asleep may fail to see that
// it ought to wake us (package shm says why). That moment is soon over, so that
// the next looks are ever later.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// Arm asks the peer for an interrupt after it has sent, and reports whether
// packets are there now: then there may be none, and the caller must not sleep.
//
// It is for those who sleep in an epoll of their own, on DupInterrupt's file:
// Receive until there is nothing, Arm, sleep if that was false, Disarm. A peer
// that sends in the very moment of Arm may not notice it: sleep for 10 ms at
// most the first time after Arm, then longer. Others use Wait.
func (q *RxQueue) Arm() (ready bool, err error) {
	q.enter()
	defer q.leave(&err)
	if q.gone {
		return false, q.conn.Err()
	}
	q.interrupt.drain()
	q.ring.UnmaskInterrupts()
	slots, err := q.slots()
	return slots > 0, err
}

// Disarm asks the peer for no more interrupts.
func (q *RxQueue) Disarm() (err error) {
	q.enter()
	defer q.leave(&err)
	if q.gone {
		return q.conn.Err()
	}
	q.ring.MaskInterrupts()
	return nil
}

// ready reports whether there are packets.
func (q *RxQueue) ready() (yes bool, err error) {
	q.enter()
	defer q.leave(&err)
	slots, err := q.slots()
	return slots > 0, err
}

// DupInterrupt gives a duplicate of the queue's interrupt eventfd, which the
// caller polls and closes, and does not read: Arm does. Poll it edge-triggered
// (EPOLLET): a hostile peer can make it readable for ever. It stays valid, but
// silent, when the connection has ended.
func (q *RxQueue) DupInterrupt() (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return -1, q.conn.Err()
	}
	fd, err := unix.FcntlInt(uintptr(q.interrupt.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("memif: duplicate interrupt: %w", err)
	}
	return fd, nil
}

// Wait waits until the queue has packets, or may have, as its peer can wake it
// for nothing. The error is that of the context or of the connection's end, or
// says that there were no file descriptors left to sleep on. It is for one
// goroutine at a time.
func (q *RxQueue) Wait(ctx context.Context) error {
	return q.sleeper.wait(ctx, q.conn, q.conn.rx[q.index:q.index+1])
}

// Wait waits until any queue has packets, as RxQueue.Wait does for one. It is
// for one goroutine at a time, with none in RxQueue.Wait meanwhile.
func (c *Conn) Wait(ctx context.Context) error {
	return c.sleeper.wait(ctx, c, c.rx)
}

// sleeper waits for packets on some queues: first it polls the rings, as long
// as that has been of use lately, then it sleeps in the runtime's poller, on an
// epoll instance with the queues' eventfds.
type sleeper struct {
	mu     sync.Mutex
	closed bool
	file   *os.File
	raw    syscall.RawConn
	// The end of the context of the last sleep wakes the sleeper. That stays so
	// for the next one, most often of the same context: to ask for it allocates.
	done   <-chan struct{}
	forget func() bool

	futile int // polls in a row that found nothing
}

// adapt is after how many futile polls a sleeper polls but once, and how often
// it tries again to poll for longer.
const adapt = 8

func (s *sleeper) wait(ctx context.Context, c *Conn, queues []*RxQueue) error {
	busy := c.ifc.config.BusyPoll
	if s.futile >= adapt && s.futile%adapt != 0 {
		busy = 0
	}
	ready, err := poll(queues, busy)
	if ready || err != nil {
		s.futile = 0
		return err
	}
	s.futile++
	return s.sleep(ctx, c, queues)
}

// poll looks at the queues at least once, and for the given time.
func poll(queues []*RxQueue, busy time.Duration) (bool, error) {
	var start time.Time
	if busy > 0 {
		start = time.Now()
	}
	for {
		for _, q := range queues {
			if ready, err := q.ready(); ready || err != nil {
				return ready, err
			}
		}
		if busy <= 0 || time.Since(start) >= busy {
			return false, nil
		}
		runtime.Gosched()
	}
}

// sleep arms the queues and waits for an interrupt.
func (s *sleeper) sleep(ctx context.Context, c *Conn, queues []*RxQueue) error {
	if err := s.open(c, queues); err != nil {
		return err
	}
	s.heed(ctx)
	for look := firstLook; ; look = min(10*look, lastLook) {
		ready, err := arm(queues)
		if !ready && err == nil {
			err = s.doze(ctx, look)
		}
		switch {
		case ready || err == nil:
			return disarm(queues)
		case ctx.Err() != nil:
			_ = disarm(queues)
			return context.Cause(ctx)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			if ended := c.Err(); ended != nil {
				return ended
			}
			return err
		}
	}
}

// heed lets the end of the context wake the sleeper.
func (s *sleeper) heed(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := ctx.Done()
	if s.closed || done == nil || done == s.done {
		return
	}
	if s.forget != nil {
		s.forget()
	}
	file := s.file
	s.done, s.forget = done, context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
}

// doze waits until one of the eventfds is written to, or it is time to look
// again, which is an os.ErrDeadlineExceeded.
func (s *sleeper) doze(ctx context.Context, look time.Duration) error {
	if err := s.file.SetReadDeadline(time.Now().Add(look)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // whose deadline was just overwritten
	}
	return s.raw.Read(func(fd uintptr) bool {
		var events [8]unix.EpollEvent
		n, err := unix.EpollWait(int(fd), events[:], 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

func arm(queues []*RxQueue) (ready bool, err error) {
	for _, q := range queues {
		r, err := q.Arm()
		if err != nil {
			return false, err
		}
		ready = ready || r
	}
	return ready, nil
}

func disarm(queues []*RxQueue) error {
	for _, q := range queues {
		if err := q.Disarm(); err != nil {
			return err
		}
	}
	return nil
}

// open makes the epoll instance when it is first needed.
func (s *sleeper) open(c *Conn, queues []*RxQueue) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return c.Err()
	}
	if s.file != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memif: epoll: %w", err)
	}
	err = unix.SetNonblock(fd, true) // so that package os lets the poller have it
	for _, q := range queues {
		if err == nil {
			err = q.watch(fd)
		}
	}
	file := os.NewFile(uintptr(fd), "memif epoll")
	raw, rawErr := file.SyscallConn()
	if err := errors.Join(err, rawErr); err != nil {
		file.Close()
		return fmt.Errorf("memif: epoll: %w", err)
	}
	s.file, s.raw = file, raw
	return nil
}

// watch adds the queue's eventfd to an epoll instance, edge-triggered: every
// write to it is an event, whether or not it was read in between.
func (q *RxQueue) watch(epoll int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return q.conn.Err()
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, q.interrupt.fd, &event)
}

// close wakes a sleeper for the last time.
func (s *sleeper) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.forget != nil {
		s.forget()
	}
	if s.file != nil {
		s.file.Close()
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif"
)

// A sleeper is woken by its eventfd, long before it would look again by itself.
func TestWaitIsWoken(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{QueuePairs: 3})
	in := packets(8, 2048)
	for _, end := range [][2]*memif.Conn{
		{connected(t, slave), connected(t, master)},
		{connected(t, master), connected(t, slave)},
	} {
		from, to := end[0], end[1]
		for queue, tx := range from.TxQueues() {
			for _, wait := range []func(context.Context) error{to.Wait, to.RxQueues()[queue].Wait} {
				within(t, 500*time.Millisecond, func() time.Duration {
					woken := make(chan error)
					go func() { woken <- wait(t.Context()) }()
					asleep(t, tx)
					<-time.After(150 * time.Millisecond) // it has looked twice; the next time is in a second
					start := time.Now()
					if n, err := tx.Transmit(packets(1, 100)); n != 1 || err != nil {
						t.Fatal(n, err)
					}
					if err := next(t, woken); err != nil {
						t.Fatal(err)
					}
					took := time.Since(start)
					if n, err := to.RxQueues()[queue].Receive(in); n != 1 || err != nil {
						t.Fatal(n, err)
					}
					return took
				})
			}
		}
	}
}

// asleep waits until the receiver of a queue wants to be woken: then an empty
// burst, which publishes nothing, tells it by no interrupt.
func asleep(t *testing.T, tx *memif.TxQueue) {
	t.Helper()
	eventually(t, func() bool { return !memif.Masked(tx) }, func() string { return "the receiver does not want to be woken" })
}

func TestNobodyIsWokenWhoIsAwake(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{})
	tx, rx := connected(t, slave).TxQueues()[0], connected(t, master).RxQueues()[0]
	for range 10 {
		if n, err := tx.Transmit(packets(1, 100)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := tx.Counters().Interrupts; got != 0 {
		t.Errorf("%d interrupts while the receiver polled", got)
	}
	if ready, err := rx.Arm(); !ready || err != nil {
		t.Errorf("armed with packets in the ring: %v, %v", ready, err)
	}
	if n, err := tx.Transmit(packets(1, 100)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := tx.Counters().Interrupts; got != 1 {
		t.Errorf("%d interrupts while the receiver was armed", got)
	}
	if err := rx.Disarm(); err != nil {
		t.Error(err)
	}
	if n, err := rx.Receive(packets(20, 200)); n != 11 || err != nil {
		t.Errorf("%d packets, %v", n, err)
	}
	if ready, err := rx.Arm(); ready || err != nil {
		t.Errorf("armed with an empty ring: %v, %v", ready, err)
	}
}

func TestWaitEnds(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{BusyPoll: time.Millisecond})
	c := connected(t, slave)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Wait(ctx) }()
	asleep(t, connected(t, master).TxQueues()[0])
	why := errors.New("no time")
	cancel(why)
	if err := next(t, ended); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
	go func() { ended <- c.RxQueues()[0].Wait(context.WithoutCancel(ctx)) }()
	asleep(t, connected(t, master).TxQueues()[0])
	connected(t, master).Disconnect("enough")
	if err := next(t, ended); !errors.Is(err, memif.ErrDisconnected) {
		t.Errorf("disconnected: %v", err)
	}
	<-c.Done()
	for _, wait := range []func(context.Context) error{c.Wait, c.RxQueues()[0].Wait} {
		if err := wait(t.Context()); !errors.Is(err, memif.ErrDisconnected) {
			t.Errorf("waiting on a connection that has ended: %v", err)
		}
	}
	if _, err := c.RxQueues()[0].Arm(); !errors.Is(err, memif.ErrDisconnected) {
		t.Errorf("arming: %v", err)
	}
	if err := c.RxQueues()[0].Disarm(); !errors.Is(err, memif.ErrDisconnected) {
		t.Errorf("disarming: %v", err)
	}
	if _, err := c.RxQueues()[0].DupInterrupt(); !errors.Is(err, memif.ErrDisconnected) {
		t.Errorf("duplicating: %v", err)
	}
}

// The way of those who have an epoll of their own.
func TestOwnEpoll(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{})
	tx, rx := connected(t, slave).TxQueues()[0], connected(t, master).RxQueues()[0]
	fd, err := rx.DupInterrupt()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	readable := func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n == 1 && err == nil
	}
	in := packets(4, 2048)
	for range 10 {
		if ready, err := rx.Arm(); ready || err != nil {
			t.Fatal(ready, err)
		}
		if readable() {
			t.Fatal("an event before there is a packet")
		}
		if n, err := tx.Transmit(packets(3, 100)); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if !readable() {
			t.Fatal("no event")
		}
		if err := rx.Disarm(); err != nil {
			t.Fatal(err)
		}
		if n, err := rx.Receive(in); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if ready, err := rx.Arm(); ready || err != nil {
		t.Fatal(ready, err)
	}
	master.Close()
	if readable() {
		t.Error("an event of a connection that has ended")
	}
}

// An interface on which nothing happens does next to nothing: a few looks in the
// first second are all.
func TestIdleCostsNothing(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{BusyPoll: 50 * time.Microsecond})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ended := make(chan error)
	before := cpu(t)
	for _, c := range []*memif.Conn{connected(t, master), connected(t, slave)} {
		go func() { ended <- c.Wait(ctx) }()
	}
	for range 2 {
		if err := next(t, ended); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if used := cpu(t) - before; used > 100*time.Millisecond {
		t.Errorf("an idle second took %v of processor", used)
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

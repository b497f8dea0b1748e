// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/polynic/polynic/memif"
)

// chain are four interfaces: what the first sends, Forward moves from the second
// to the third, and the last receives.
type chain struct {
	first, last *memif.Interface
	tx          *memif.TxQueue
	src         *memif.RxQueue
	dst         *memif.TxQueue
	rx          *memif.RxQueue
}

func newChain(t testing.TB) chain {
	t.Helper()
	masterA, slaveA := pair(t, memif.Config{})
	masterB, slaveB := pair(t, memif.Config{})
	return chain{
		first: slaveA, last: slaveB,
		tx: connected(t, slaveA).TxQueues()[0], src: connected(t, masterA).RxQueues()[0],
		dst: connected(t, masterB).TxQueues()[0], rx: connected(t, slaveB).RxQueues()[0],
	}
}

// move takes packets all the way.
func (c chain) move(t testing.TB, sent, received [][]byte) {
	t.Helper()
	n, err := c.tx.Transmit(sent)
	if n != len(sent) || err != nil {
		t.Fatalf("sent %d, %v", n, err)
	}
	if n, err = memif.Forward(c.dst, c.src, len(sent)); n != len(sent) || err != nil {
		t.Fatalf("forwarded %d, %v", n, err)
	}
	if n, err = c.rx.Receive(received); n != len(sent) || err != nil {
		t.Fatalf("received %d, %v", n, err)
	}
}

// Moving packets allocates nothing, however long they are and whether or not
// the receiver has to be woken.
func TestPacketsAllocateNothing(t *testing.T) {
	skipWithRaceDetector(t)
	nothingLeft(t)
	c := newChain(t)
	ctx := t.Context()
	for _, length := range []int{64, 1500, 9000} {
		sent, received := packets(burst, length), packets(burst, length)
		for what, do := range map[string]func(){
			"bursts": func() { c.move(t, sent, received) },
			"woken bursts": func() {
				for _, q := range []*memif.RxQueue{c.src, c.rx} {
					if _, err := q.Arm(); err != nil {
						t.Fatal(err)
					}
				}
				c.move(t, sent, received)
				for _, q := range []*memif.RxQueue{c.src, c.rx} {
					if err := q.Disarm(); err != nil {
						t.Fatal(err)
					}
				}
			},
			"streams": func() {
				if _, err := c.first.WriteBatch(ctx, sent); err != nil {
					t.Fatal(err)
				}
				if _, err := memif.Forward(c.dst, c.src, burst); err != nil {
					t.Fatal(err)
				}
				if n, err := c.last.ReadBatch(ctx, received); n != burst || err != nil {
					t.Fatal(n, err)
				}
			},
			"single packets": func() {
				if _, err := c.first.Write(ctx, sent[0]); err != nil {
					t.Fatal(err)
				}
				if _, err := memif.Forward(c.dst, c.src, 1); err != nil {
					t.Fatal(err)
				}
				if _, err := c.last.Read(ctx, received[0][:length]); err != nil {
					t.Fatal(err)
				}
			},
		} {
			if got := testing.AllocsPerRun(200, do); got != 0 {
				t.Errorf("%s of %d bytes: %v allocations", what, length, got)
			}
		}
	}
}

// Nor does it when both ends sleep between any two packets.
func TestWakesAllocateNothing(t *testing.T) {
	skipWithRaceDetector(t)
	nothingLeft(t)
	master, slave := pair(t, memif.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	echoed := make(chan error)
	go func() { echoed <- echoAll(ctx, slave) }()
	p := make([]byte, 64)
	got := testing.AllocsPerRun(500, func() {
		if _, err := master.Write(ctx, p); err != nil {
			t.Fatal(err)
		}
		if _, err := master.Read(ctx, p); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("a packet there and back: %v allocations", got)
	}
	cancel()
	if err := next(t, echoed); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if wakes := slave.Status().Tx.Interrupts; wakes < 100 {
		t.Errorf("%d wakes only", wakes)
	}
}

// echoAll sends back what comes.
func echoAll(ctx context.Context, i *memif.Interface) error {
	p := make([]byte, memif.MaxPacket)
	for {
		n, err := i.Read(ctx, p)
		if err != nil {
			return err
		}
		if _, err := i.Write(ctx, p[:n]); err != nil {
			return err
		}
	}
}

func skipWithRaceDetector(t *testing.T) {
	t.Helper()
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector allocates for system calls")
	}
}

// While receivers poll, packets cost no system call that reads or writes: the
// kernel counts these for each thread. It is silent about others, of which the
// queues' methods have none.
func TestPollingMakesNoSystemCall(t *testing.T) {
	nothingLeft(t)
	c := newChain(t)
	sent, received := packets(burst, 64), packets(burst, 64)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := systemCalls(t)
	counting := systemCalls(t) - start // costs some, too
	start = systemCalls(t)
	for range 10_000 {
		c.move(t, sent, received)
	}
	if got := systemCalls(t) - start - counting; got != 0 {
		t.Errorf("%d system calls for %d packets", got, 10_000*burst)
	}
	start = systemCalls(t)
	const wakes = 100
	for range wakes {
		if _, err := c.src.Arm(); err != nil {
			t.Fatal(err)
		}
		c.move(t, sent, received)
		if err := c.src.Disarm(); err != nil {
			t.Fatal(err)
		}
	}
	// To wake, and to note that one was woken; now and then for the watch.
	if got := systemCalls(t) - start - counting; got < 2*wakes || got > 3*wakes {
		t.Errorf("%d system calls to wake a receiver %d times: are they counted?", got, wakes)
	}
}

// systemCalls is how often this thread has called the kernel to read or write.
func systemCalls(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		t.Skip("the kernel does not count: ", err)
	}
	var characters [2]int
	var calls [2]int
	if _, err := fmt.Sscanf(string(text), "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d",
		&characters[0], &characters[1], &calls[0], &calls[1]); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return calls[0] + calls[1]
}

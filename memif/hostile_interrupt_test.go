// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// Whoever fills the counter of an eventfd and makes it block, holds up nobody
// for long.
func TestBlockingInterrupt(t *testing.T) {
	nothingLeft(t)
	within(t, soonEnough, func() time.Duration {
		hostile, c, e := assault(t)
		block(t, hostile.M2S[0])
		*hostile.M2S[0].Head() = 8
		start := time.Now()
		_ = transmit(c) // may or may not notice
		took := time.Since(start)
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrInterrupt) {
			t.Errorf("ended because %v", err)
		}
		return took
	})
	// Reads of the receiver do not block either.
	hostile, c, _ := assault(t)
	if err := unix.SetNonblock(hostile.S2M[0].Eventfd, false); err != nil {
		t.Fatal(err)
	}
	if err := look(c); err != nil {
		t.Error(err)
	}
}

func block(t *testing.T, r memiftest.Ring) {
	t.Helper()
	full := uint64(1<<64 - 2)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&full)), 8)
	if n, err := unix.Write(r.Eventfd, bytes.Clone(b)); n != 8 || err != nil {
		t.Fatal(n, err)
	}
	if err := unix.SetNonblock(r.Eventfd, false); err != nil {
		t.Fatal(err)
	}
	*r.Flags() = 0
}

// An eventfd that is readable for ever, as a semaphore of a high count is, does
// not keep a sleeper awake.
func TestEndlessInterrupt(t *testing.T) {
	nothingLeft(t)
	config := memif.Config{}
	e := record(&config)
	l := listen(t, memif.ListenConfig{})
	add(t, l, config)
	hostile, err := memiftest.NewSlave(l.Addr().String(), memiftest.SlaveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer hostile.Close()
	endless, err := unix.Eventfd(1<<31, unix.EFD_SEMAPHORE|unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(hostile.S2M[0].Eventfd)
	hostile.S2M[0].Eventfd = endless
	if err := hostile.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := next(t, e.connects)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	before := cpu(t)
	for err = error(nil); err == nil; {
		err = c.Wait(ctx)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited until %v", err)
	}
	if used := cpu(t) - before; used > 100*time.Millisecond {
		t.Errorf("half a second of sleep took %v of processor", used)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package pump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/pump"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socket is an end whose frames a test puts in and takes out at the other half
// of a pair of sockets.
type socket struct {
	fd   int
	test *os.File
}

func (s socket) FD() int                        { return s.fd }
func (s socket) Read(frame []byte) (int, error) { return unix.Read(s.fd, frame) }
func (s socket) Write(frame []byte) error {
	_, err := unix.Write(s.fd, frame)
	return err
}

func newSocket(t testing.TB) socket {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := socket{fd: pair[0], test: os.NewFile(uintptr(pair[1]), "test")}
	if err := s.test.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.test.Close()
		_ = unix.Close(s.fd)
	})
	return s
}

func newPump(t testing.TB, workers int) *pump.Pump {
	t.Helper()
	p, err := pump.New(workers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// join joins two ends for the duration of the test.
func join(t testing.TB, p *pump.Pump, a, b pump.End) [2]*pump.Lane {
	t.Helper()
	lanes, err := p.Join(a, b, func(err error) { t.Errorf("failed: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Remove(lanes[:]...) })
	return lanes
}

func frame(number uint64, size int) []byte {
	f := bytes.Repeat([]byte{byte(number)}, pump.HeaderLen+size)
	binary.BigEndian.PutUint64(f, number)
	return f
}

func send(t testing.TB, to socket, f []byte) {
	t.Helper()
	if _, err := to.test.Write(f); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, from socket, want []byte) {
	t.Helper()
	got := make([]byte, 1<<17)
	n, err := from.test.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:n], want) {
		t.Fatalf("frame %d of %d bytes, want %d of %d", binary.BigEndian.Uint64(got), n, binary.BigEndian.Uint64(want), len(want))
	}
}

func TestFramesKeepOrderAndContent(t *testing.T) {
	p := newPump(t, 4)
	a, b := newSocket(t), newSocket(t)
	lanes := join(t, p, a, b)
	const frames, together = 1000, 50 // few enough together for a socket to hold
	for first := 0; first < frames; first += together {
		for i := range together {
			send(t, a, frame(uint64(first+i), 64+first+i))
		}
		for i := range together {
			receive(t, b, frame(uint64(first+i), 64+first+i))
		}
	}
	longest := frame(1, 65536)
	send(t, b, longest)
	receive(t, a, longest)
	p.Remove(lanes[:]...) // counters are complete once no burst is under way
	want := [2]pump.Stats{{Frames: frames, Bytes: frames*64 + frames*(frames-1)/2}, {Frames: 1, Bytes: 65536}}
	if got := [2]pump.Stats{lanes[0].Stats(), lanes[1].Stats()}; got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

func TestFullEndDrops(t *testing.T) {
	p := newPump(t, 1)
	a, b := newSocket(t), newSocket(t)
	lanes := join(t, p, a, b)
	const frames = 2000 // more than b holds while nobody takes them
	for i := range frames {
		send(t, a, frame(uint64(i), 1000))
	}
	send(t, b, frame(7, 10)) // the other direction is not held up
	receive(t, a, frame(7, 10))
	receive(t, b, frame(0, 1000))
	p.Remove(lanes[:]...)
	s := lanes[0].Stats()
	if s.Drops == 0 || s.Frames == 0 || s.Frames+s.Drops > frames {
		t.Errorf("counters %+v, want some of %d frames dropped", s, frames)
	}
}

// endless always has a frame.
type endless struct{ fd int }

func (e endless) FD() int                        { return e.fd }
func (e endless) Read(frame []byte) (int, error) { return len(frame), nil }
func (e endless) Write([]byte) error             { return nil }

func TestBusyLanesTakeTurns(t *testing.T) {
	p := newPump(t, 1)
	var ends []endless
	for range 4 {
		fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC) // always readable
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		ends = append(ends, endless{fd})
	}
	join(t, p, ends[0], ends[1])
	join(t, p, ends[2], ends[3])
	a, b := newSocket(t), newSocket(t)
	join(t, p, a, b)
	for i := range 20 {
		send(t, a, frame(uint64(i), 100))
		receive(t, b, frame(uint64(i), 100))
	}
}

func TestEndThatFailsIsReportedOnce(t *testing.T) {
	p := newPump(t, 2)
	a, b := newSocket(t), newSocket(t)
	reports := make(chan error, 10)
	lanes, err := p.Join(broken{a}, b, func(err error) { reports <- err })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		send(t, a, frame(1, 100))
	}
	if err := <-reports; !errors.Is(err, unix.EBADFD) {
		t.Errorf("reported %v, want EBADFD", err)
	}
	send(t, b, frame(2, 100)) // the other direction works until it is removed
	receive(t, a, frame(2, 100))
	p.Remove(lanes[:]...)
	select {
	case err := <-reports:
		t.Errorf("reported again: %v", err)
	default:
	}
}

// broken reads like a tap whose device was removed.
type broken struct{ socket }

func (broken) Read([]byte) (int, error) { return 0, unix.EBADFD }

func TestRemovedEndsAreNotTouched(t *testing.T) {
	p := newPump(t, 2)
	var touched, removed atomic.Bool
	for range 200 {
		a, b := newSocket(t), newSocket(t)
		watched := observed{a, func() {
			if removed.Load() {
				touched.Store(true)
			}
		}}
		lanes, err := p.Join(watched, b, func(err error) { t.Errorf("failed: %v", err) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			send(t, a, frame(uint64(i), 10))
		}
		p.Remove(lanes[:]...)
		removed.Store(true)
		send(t, a, frame(0, 10))
		p.Remove(lanes[:]...) // absent is no error
		removed.Store(false)
	}
	if touched.Load() {
		t.Error("an end was read after Remove had returned")
	}
}

type observed struct {
	socket
	reading func()
}

func (o observed) Read(frame []byte) (int, error) {
	o.reading()
	return o.socket.Read(frame)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p := newPump(t, 1)
	a, b := newSocket(t), newSocket(t)
	join(t, p, a, b)
	f, got := frame(1, 1500), make([]byte, 2048)
	pass := func() {
		if _, err := a.test.Write(f); err != nil {
			t.Fatal(err)
		}
		if _, err := b.test.Read(got); err != nil {
			t.Fatal(err)
		}
	}
	if allocations := testing.AllocsPerRun(2000, pass); allocations > 0 {
		t.Errorf("%v allocations per frame", allocations)
	}
}

func TestIdleLanesHoldNoBuffers(t *testing.T) {
	p := newPump(t, 1)
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	const pairs = 50
	for i := range pairs {
		a, b := newSocket(t), newSocket(t)
		join(t, p, a, b)
		send(t, a, frame(uint64(i), 100))
		receive(t, b, frame(uint64(i), 100))
	}
	if each := (int64(memory()) - int64(before)) / pairs; each > 8<<10 {
		t.Errorf("%d bytes for each idle pair of lanes", each)
	}
}

func TestJoinOfABadDescriptor(t *testing.T) {
	p := newPump(t, 1)
	a := newSocket(t)
	lanes, err := p.Join(a, endless{-1}, func(err error) { t.Errorf("failed: %v", err) })
	if err == nil {
		t.Error("a descriptor that does not exist was joined")
	}
	p.Remove(lanes[:]...)
	join(t, p, a, newSocket(t)) // nothing of the first attempt is left
}

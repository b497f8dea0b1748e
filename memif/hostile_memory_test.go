// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

var (
	mutations = flag.Int("mutations", 200_000, "descriptors that the racing peer rewrites")
	shrinks   = flag.Int("shrinks", 100, "regions that are shrunk under traffic")
)

// soonEnough bounds how long a hostile peer may hold anything up: what it does
// would otherwise last for ever. It is a few milliseconds; this is for a machine
// that does other things too.
const soonEnough = 100 * time.Millisecond

// scribbler rewrites the words and descriptors of rings while the other side
// uses them.
type scribbler struct {
	source *rand.Rand
	rings  []memiftest.Ring
	region uint32 // its length
	// worst is how bad it gets: 0 keeps descriptors within the region, 1 does
	// not, 2 moves heads and tails anywhere too.
	worst int
	// fill makes a ring offer as much as it can.
	fill   func(memiftest.Ring)
	writes atomic.Int64
}

// A slave, and a master, offer all slots.
func slaveFills(r memiftest.Ring)  { *r.Head() = *r.Tail() + uint16(r.Slots()) }
func masterFills(r memiftest.Ring) { *r.Tail() = *r.Head() }

func (s *scribbler) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		for range 64 {
			r := s.rings[s.source.IntN(len(s.rings))]
			s.scribble(r, r.Descriptor(uint16(s.source.Uint32())))
		}
		s.writes.Add(64)
	}
}

func (s *scribbler) scribble(r memiftest.Ring, d *memiftest.Descriptor) {
	edge := func() uint32 {
		return []uint32{0, 1, 63, 64, 2048, 65535, 65536, s.region - 1, s.region, s.region + 1, 1 << 31, 1<<32 - 1}[s.source.IntN(12)]
	}
	few := s.worst > 0 && s.source.IntN(1000) == 0
	switch {
	case few && s.worst == 2:
		*r.Head() += uint16(s.source.IntN(1 << 16))
		*r.Tail() += uint16(s.source.IntN(1 << 16))
	case few:
		*d = memiftest.Descriptor{Flags: uint16(s.source.Uint32()), Region: uint16(s.source.IntN(3)), Offset: edge(), Length: edge()}
	case s.source.IntN(4) == 0:
		if s.worst > 0 || d != r.Descriptor(0) { // a chain that never ends is bad
			d.Flags ^= memiftest.FlagNext
		}
	case s.source.IntN(4) == 0:
		*r.Flags() ^= 1
	case s.source.IntN(2) == 0:
		d.Length = 1 + uint32(s.source.IntN(2048))
	default:
		d.Offset = s.rings[0].Buffers + uint32(s.source.IntN(30000)) // not in the rings
	}
	if s.worst < 2 {
		s.fill(r)
	}
}

// heal puts the rings right, as far as this side may.
func heal(s *memiftest.Slave) {
	for _, r := range append(append([]memiftest.Ring{}, s.S2M...), s.M2S...) {
		for i := range r.Slots() {
			*r.Descriptor(uint16(i)) = memiftest.Descriptor{Offset: r.Buffers + uint32(i)*2048, Length: 64}
		}
	}
}

// While a peer rewrites its rings at will, a master's queues end the
// connection, or deliver what nobody can complain about, and touch nothing but
// the peer's region. The peer comes back until it has made its mutations.
func TestRacingSlave(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	config := memif.Config{MaxPacket: 4000}
	e := record(&config)
	add(t, l, config)
	victimA, victimB := pair(t, memif.Config{})
	dst := connected(t, victimA).TxQueues()[0]
	victim := connected(t, victimB).RxQueues()[0]
	ends := map[memif.Reason]int{}
	seed, done := uint64(0), 0
	enough := func() bool {
		return done >= *mutations && seed >= 12 && ends[memif.ErrDescriptor] > 0 && ends[memif.ErrIndex] > 0 && ends[memif.ErrPeerGone] > 0
	}
	for ; !enough() && seed < 500; seed++ {
		hostile, err := memiftest.NewSlave(l.Addr().String(), memiftest.SlaveConfig{Log2: 4, BufferSize: 2048})
		if err != nil {
			t.Fatal(err)
		}
		if err := hostile.Handshake(); err != nil {
			t.Fatal(err)
		}
		c := next(t, e.connects)
		heal(hostile)
		rings := append(append([]memiftest.Ring{}, hostile.S2M...), hostile.M2S...)
		s := &scribbler{source: rand.New(rand.NewPCG(seed, 0)), rings: rings, region: uint32(len(hostile.Region)), worst: int(seed % 3), fill: slaveFills}
		stop := make(chan struct{})
		var running sync.WaitGroup
		running.Go(func() { s.run(stop) })
		for until := time.Now().Add(20 * time.Millisecond); c.Err() == nil && time.Now().Before(until); {
			_ = receive(c)
			_ = transmit(c)
			_ = compose(c)
			_, _ = memif.Forward(dst, c.RxQueues()[0], 16)
			if _, err := victim.Receive(packets(16, 4000)); err != nil {
				t.Fatalf("the victim: %v", err)
			}
		}
		if c.Err() == nil {
			hostile.Peer.Close()
		}
		ends[reason(next(t, e.disconnects))]++
		close(stop)
		running.Wait()
		done += int(s.writes.Load())
		hostile.Close()
	}
	if !enough() {
		t.Errorf("the mutations found little: %v", ends)
	}
	t.Logf("%d mutations over %d connections, which ended by %v", done, seed, ends)
}

func reason(err error) memif.Reason {
	var r memif.Reason
	errors.As(err, &r)
	return r
}

// A region that shrinks after it was accepted ends its connection and no other.
func TestShrinkingRegion(t *testing.T) {
	nothingLeft(t)
	out, in := pair(t, memif.Config{})
	src, dst := connected(t, out).RxQueues()[0], connected(t, in).TxQueues()[0]
	uses := []func(*memif.Conn) error{
		receive, transmit, compose, look,
		func(c *memif.Conn) error { return c.RxQueues()[0].Disarm() },
		func(c *memif.Conn) error { return c.Wait(t.Context()) },
		func(c *memif.Conn) error { _, err := memif.Forward(c.TxQueues()[0], src, 8); return err },
		func(c *memif.Conn) error { _, err := memif.Forward(dst, c.RxQueues()[0], 8); return err },
	}
	l := listen(t, memif.ListenConfig{})
	config := memif.Config{AcceptUnsealed: true}
	e := record(&config)
	add(t, l, config)
	for i := range *shrinks {
		hostile, err := memiftest.NewSlave(l.Addr().String(), memiftest.SlaveConfig{Unsealed: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := hostile.Handshake(); err != nil {
			t.Fatal(err)
		}
		c := next(t, e.connects)
		*hostile.S2M[0].Head() = 8
		*hostile.M2S[0].Head() = 8
		// Rings and all, or the buffers alone.
		size := int64(i % 2 * 4096)
		if err := unix.Ftruncate(hostile.File, size); err != nil {
			t.Fatal(err)
		}
		use := uses[i/2%len(uses)]
		if size > 0 {
			use = uses[i/2%3] // those that touch buffers
		}
		if err := use(c); !errors.Is(err, memif.ErrFault) {
			t.Fatalf("use %d of a region cut to %d: %v", i/2, size, err)
		}
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrFault) {
			t.Fatalf("ended because %v", err)
		}
		hostile.Close()
	}
	if connected(t, out).Err() != nil || connected(t, in).Err() != nil {
		t.Error("others ended too")
	}
}

// One that shrinks in the middle of the handshake is refused.
func TestShrunkBeforeConnect(t *testing.T) {
	nothingLeft(t)
	listening := memif.ListenConfig{}
	told := refusals(&listening)
	l := listen(t, listening)
	add(t, l, memif.Config{AcceptUnsealed: true})
	hostile, err := memiftest.NewSlave(l.Addr().String(), memiftest.SlaveConfig{Unsealed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer hostile.Close()
	if err := errors.Join(hostile.Introduce(), unix.Ftruncate(hostile.File, 0), hostile.Send(memiftest.Connect{})); err != nil {
		t.Fatal(err)
	}
	if r := next(t, told); !errors.Is(r.Err, memif.ErrFault) {
		t.Errorf("refused because %v", r.Err)
	}
}

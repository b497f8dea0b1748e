// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// trap is a socket for hostile masters, and a slave that dials it.
func trap(t testing.TB, c memif.Config) (*net.UnixListener, *memif.Interface, events) {
	t.Helper()
	address := &net.UnixAddr{Net: "unixpacket", Name: socket(t)}
	l, err := net.ListenUnix(address.Net, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	e := record(&c)
	slave, err := memif.Dial(address.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return l, slave, e
}

// caught connects a slave to a hostile master.
func caught(t testing.TB, c memif.Config) (*memiftest.Master, *memif.Conn, events) {
	t.Helper()
	l, _, e := trap(t, c)
	m, err := memiftest.AcceptMaster(l, memiftest.WellBehaved())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Send(memiftest.Connected{Interface: "trap"}); err != nil {
		t.Fatal(err)
	}
	return m, next(t, e.connects), e
}

func TestHostileMasters(t *testing.T) {
	greet := func(change func(*memiftest.Hello)) func(*memiftest.Peer) error {
		return func(p *memiftest.Peer) error {
			h := memiftest.WellBehaved()
			change(&h)
			return p.Send(h)
		}
	}
	// after the greeting, and the slave's INIT, this.
	then := func(m memiftest.Message, fds ...int) func(*memiftest.Peer) error {
		return func(p *memiftest.Peer) error {
			err := p.Send(memiftest.WellBehaved())
			_, expected := memiftest.Expect[memiftest.Init](p)
			return errors.Join(err, expected, p.Send(m, fds...))
		}
	}
	first := func(m memiftest.Message) func(*memiftest.Peer) error {
		return func(p *memiftest.Peer) error { return p.Send(m) }
	}
	for _, c := range []struct {
		name string
		do   func(*memiftest.Peer) error
		want memif.Reason
	}{
		{"version 1.0", greet(func(h *memiftest.Hello) { h.MaxVersion = 1 << 8 }), memif.ErrVersion},
		{"version 3.0", greet(func(h *memiftest.Hello) { h.MinVersion = 3 << 8 }), memif.ErrVersion},
		{"rings of one slot", greet(func(h *memiftest.Hello) { h.MaxLog2RingSize = 0 }), memif.ErrRing},
		{"ACK first", first(memiftest.Ack{}), memif.ErrOrder},
		{"CONNECTED first", first(memiftest.Connected{}), memif.ErrOrder},
		{"INIT", first(memiftest.Init{}), memif.ErrOrder},
		{"DISCONNECT first", first(memiftest.Disconnect{Reason: "no"}), memif.ErrDisconnected},
		{"HELLO twice", then(memiftest.WellBehaved()), memif.ErrOrder},
		{"CONNECTED early", then(memiftest.Connected{}), memif.ErrOrder},
		{"a region of its own", then(memiftest.AddRegion{Size: 4096}, 0), memif.ErrOrder},
		{"a ring of its own", then(memiftest.AddRing{}, 0), memif.ErrOrder},
		{"ACK with a file", then(memiftest.Ack{}, 0), memif.ErrMessage},
		{"half a message", func(p *memiftest.Peer) error { return p.SendBytes(make([]byte, 64)) }, memif.ErrMessage},
		{"type 0", func(p *memiftest.Peer) error { return p.SendBytes(make([]byte, 128)) }, memif.ErrMessage},
		{"silence", func(*memiftest.Peer) error { return nil }, memif.ErrTimeout},
		{"silence after INIT", greet(func(*memiftest.Hello) {}), memif.ErrTimeout},
		{"gone", (*memiftest.Peer).Close, memif.ErrPeerGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			nothingLeft(t)
			config := memif.Config{HandshakeTimeout: patience}
			if c.want == memif.ErrTimeout {
				config.HandshakeTimeout = 500 * time.Millisecond
			}
			l, slave, e := trap(t, config)
			hostile, err := memiftest.Accept(l)
			if err != nil {
				t.Fatal(err)
			}
			defer hostile.Close()
			if err := c.do(hostile); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return slave.Status().Ends[c.want] > 0 },
				func() string { return "the slave has " + slave.Status().LastEnd.Error() })
			// It tries again, and a better master gets it.
			for {
				m, err := memiftest.AcceptMaster(l, memiftest.WellBehaved())
				if err != nil {
					continue // the slave gave up on this one while we dealt with the last
				}
				defer m.Close()
				if err := m.Send(memiftest.Connected{}); err != nil {
					t.Fatal(err)
				}
				break
			}
			next(t, e.connects)
		})
	}
}

func TestHostileMastersRings(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*memiftest.Master)
		use  func(*memif.Conn) error
		want memif.Reason
	}{
		{"a packet longer than its buffer", func(m *memiftest.Master) {
			m.M2S[0].Descriptor(0).Length = 2049
			*m.M2S[0].Tail() = 1
		}, receive, memif.ErrDescriptor},
		{"a packet of 4 GiB", func(m *memiftest.Master) {
			m.M2S[0].Descriptor(0).Length = 1<<32 - 1
			*m.M2S[0].Tail() = 1
		}, receive, memif.ErrDescriptor},
		{"an endless chain", func(m *memiftest.Master) {
			for i := range uint16(8) {
				m.M2S[0].Descriptor(i).Flags = memiftest.FlagNext
			}
			*m.M2S[0].Tail() = 8
		}, receive, memif.ErrDescriptor},
		{"more packets than buffers", func(m *memiftest.Master) { *m.M2S[0].Tail() = 9 }, receive, memif.ErrIndex},
		{"a tail behind", func(m *memiftest.Master) { *m.M2S[0].Tail() = 65535 }, look, memif.ErrIndex},
		{"more taken than sent", func(m *memiftest.Master) { *m.S2M[0].Tail() = 1 }, transmit, memif.ErrIndex},
		{"a tail far behind", func(m *memiftest.Master) { *m.S2M[0].Tail() = 1 << 15 }, transmit, memif.ErrIndex},
	} {
		t.Run(c.name, func(t *testing.T) {
			nothingLeft(t)
			m, conn, e := caught(t, memif.Config{RingSize: 8})
			eventually(t, func() bool { return *m.M2S[0].Head() == 8 }, func() string { return "no buffers are offered" })
			c.do(m)
			if err := c.use(conn); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err := next(t, e.disconnects); !errors.Is(err, c.want) {
				t.Errorf("ended because %v", err)
			}
			if d, err := m.End(); memif.Reason(d.Code) != c.want || err != nil {
				t.Errorf("the master was told %+v, %v", d, err)
			}
		})
	}
}

// A slave knows where its buffers are, and the master's opinion of that is of
// no account.
func TestSlaveTrustsNoDescriptor(t *testing.T) {
	nothingLeft(t)
	m, conn, _ := caught(t, memif.Config{RingSize: 8})
	s2m, m2s := m.S2M[0], m.M2S[0]
	eventually(t, func() bool { return *m2s.Head() == 8 }, func() string { return "no buffers are offered" })
	at := m2s.Descriptor(0).Offset
	copy(m.Region[at:], "to the slave")
	*m2s.Descriptor(0) = memiftest.Descriptor{Region: 77, Length: 12, Offset: 1 << 31}
	for i := range uint16(8) {
		*s2m.Descriptor(i) = memiftest.Descriptor{Region: 77, Length: 1, Offset: 1 << 31}
	}
	*m2s.Tail() = 1
	in := packets(1, 100)
	if n, err := conn.RxQueues()[0].Receive(in); n != 1 || err != nil || string(in[0]) != "to the slave" {
		t.Errorf("received %d, %v, %q", n, err, in[0])
	}
	if d := *m2s.Descriptor(0); d != (memiftest.Descriptor{Offset: at, Length: 2048}) || *m2s.Head() != 9 {
		t.Errorf("offered again as %+v, head %d", d, *m2s.Head())
	}
	if n, err := conn.TxQueues()[0].Transmit([][]byte{[]byte("to the master")}); n != 1 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	d := *s2m.Descriptor(0)
	if d.Region != 0 || d.Flags != 0 || !bytes.Equal(m.Region[d.Offset:][:d.Length], []byte("to the master")) || *s2m.Head() != 1 {
		t.Errorf("sent as %+v, head %d", d, *s2m.Head())
	}
}

// A master that does not care for the flags of its rings is woken: libmemif
// counts on 0 there, VPP in interrupt mode too.
func TestMasterIsWokenUnlessItMasks(t *testing.T) {
	nothingLeft(t)
	m, conn, _ := caught(t, memif.Config{})
	if s2m, m2s := *m.S2M[0].Flags(), *m.M2S[0].Flags(); s2m != 0 || m2s != 1 {
		t.Errorf("flags of the master's ring are %d, want 0; of the slave's, which polls, %d, want 1", s2m, m2s)
	}
	for _, want := range []uint64{1, 1} {
		if err := transmit(conn); err != nil {
			t.Fatal(err)
		}
		if got := conn.TxQueues()[0].Counters().Interrupts; got != want {
			t.Errorf("woken %d times, want %d", got, want)
		}
		*m.S2M[0].Flags() = 1
	}
}

// Also a master can make an eventfd block.
func TestMasterBlocksInterrupt(t *testing.T) {
	nothingLeft(t)
	within(t, soonEnough, func() time.Duration {
		m, conn, e := caught(t, memif.Config{RingSize: 8})
		block(t, m.S2M[0])
		start := time.Now()
		_ = transmit(conn)
		took := time.Since(start)
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrInterrupt) {
			t.Errorf("ended because %v", err)
		}
		return took
	})
}

// While a master rewrites its slave's rings at will, the slave ends the
// connection, or goes on with what nobody can complain about.
func TestRacingMaster(t *testing.T) {
	nothingLeft(t)
	l, _, e := trap(t, memif.Config{RingSize: 16, MaxPacket: 4000})
	ends := map[memif.Reason]int{}
	seed, done := uint64(0), 0
	enough := func() bool {
		return done >= *mutations && seed >= 12 && ends[memif.ErrDescriptor] > 0 && ends[memif.ErrIndex] > 0
	}
	for ; !enough() && seed < 500; seed++ {
		m, err := memiftest.AcceptMaster(l, memiftest.WellBehaved())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Send(memiftest.Connected{}); err != nil {
			t.Fatal(err)
		}
		c := next(t, e.connects)
		rings := append(append([]memiftest.Ring{}, m.S2M...), m.M2S...)
		s := &scribbler{source: rand.New(rand.NewPCG(seed, 1)), rings: rings, region: uint32(len(m.Region)), worst: int(seed % 3), fill: masterFills}
		stop := make(chan struct{})
		var running sync.WaitGroup
		running.Go(func() { s.run(stop) })
		for until := time.Now().Add(20 * time.Millisecond); c.Err() == nil && time.Now().Before(until); {
			_ = receive(c)
			_ = transmit(c)
			_, _ = memif.Forward(c.TxQueues()[0], c.RxQueues()[0], 16)
		}
		if c.Err() == nil {
			m.Peer.Close()
		}
		ends[reason(next(t, e.disconnects))]++
		close(stop)
		running.Wait()
		done += int(s.writes.Load())
		m.Close()
	}
	if !enough() {
		t.Errorf("the mutations found little: %v", ends)
	}
	t.Logf("%d mutations over %d connections, which ended by %v", done, seed, ends)
}

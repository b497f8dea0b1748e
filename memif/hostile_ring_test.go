// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// assault connects a hostile slave to a master.
func assault(t testing.TB) (*memiftest.Slave, *memif.Conn, events) {
	t.Helper()
	config := memif.Config{}
	e := record(&config)
	l := listen(t, memif.ListenConfig{})
	add(t, l, config)
	hostile, err := memiftest.NewSlave(l.Addr().String(), memiftest.SlaveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hostile.Close() })
	if err := hostile.Handshake(); err != nil {
		t.Fatal(err)
	}
	return hostile, next(t, e.connects), e
}

// The ring protocol, seen by a peer with its hands in the memory.
func TestRingAsAPeerSeesIt(t *testing.T) {
	nothingLeft(t)
	peer, c, _ := assault(t)
	s2m, m2s := peer.S2M[0], peer.M2S[0]
	if *s2m.Flags() != 1 {
		t.Errorf("flags of the master's receive ring are %d: does it poll?", *s2m.Flags())
	}

	// A packet in three slots, the middle one empty.
	copy(peer.Region[s2m.Buffers:], "abc")
	copy(peer.Region[s2m.Buffers+4096:], "def")
	*s2m.Descriptor(0) = memiftest.Descriptor{Flags: memiftest.FlagNext, Length: 3, Offset: s2m.Buffers}
	*s2m.Descriptor(1) = memiftest.Descriptor{Flags: memiftest.FlagNext, Length: 0, Offset: 0}
	*s2m.Descriptor(2) = memiftest.Descriptor{Length: 3, Offset: s2m.Buffers + 4096}
	in := packets(2, 100)
	for _, head := range []uint16{1, 2} { // unfinished
		*s2m.Head() = head
		if n, err := c.RxQueues()[0].Receive(in); n != 0 || err != nil {
			t.Errorf("of a packet with no end: %d, %v", n, err)
		}
		if ready, err := c.RxQueues()[0].Arm(); ready || err != nil {
			t.Errorf("ready for a packet with no end: %v, %v", ready, err)
		}
		if *s2m.Flags() != 0 || *s2m.Tail() != 0 || *s2m.Head() != head {
			t.Errorf("flags %d, tail %d, head %d", *s2m.Flags(), *s2m.Tail(), *s2m.Head())
		}
	}
	*s2m.Head() = 3
	if n, err := c.RxQueues()[0].Receive(in); n != 1 || err != nil || string(in[0]) != "abcdef" {
		t.Errorf("received %d, %v, %q", n, err, in[0])
	}
	if *s2m.Tail() != 3 {
		t.Errorf("tail is %d", *s2m.Tail())
	}

	// A packet into two slots, which the peer offers, and asks to be woken.
	*m2s.Descriptor(0) = memiftest.Descriptor{Flags: 0xfffe, Length: 4, Offset: m2s.Buffers}
	*m2s.Descriptor(1) = memiftest.Descriptor{Flags: memiftest.FlagNext, Length: 4, Offset: m2s.Buffers + 2048}
	if n, err := c.TxQueues()[0].Transmit([][]byte{[]byte("ABCDEF")}); n != 0 || err != nil {
		t.Errorf("sent without an offer: %d, %v", n, err)
	}
	*m2s.Head() = 2
	if n, err := c.TxQueues()[0].Transmit([][]byte{[]byte("ABCDEF")}); n != 1 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	if *m2s.Tail() != 2 || *m2s.Descriptor(0) != (memiftest.Descriptor{Flags: memiftest.FlagNext, Length: 4, Offset: m2s.Buffers}) ||
		*m2s.Descriptor(1) != (memiftest.Descriptor{Length: 2, Offset: m2s.Buffers + 2048}) ||
		!bytes.Equal(peer.Region[m2s.Buffers:][:4], []byte("ABCD")) || !bytes.Equal(peer.Region[m2s.Buffers+2048:][:2], []byte("EF")) {
		t.Errorf("tail %d, %+v, %+v", *m2s.Tail(), *m2s.Descriptor(0), *m2s.Descriptor(1))
	}
	var woken [8]byte
	if n, err := unix.Read(m2s.Eventfd, woken[:]); n != 8 || err != nil {
		t.Errorf("the peer was not woken: %d, %v", n, err)
	}
}

// receive, transmit and forward use a connection's first queues.
func receive(c *memif.Conn) error {
	_, err := c.RxQueues()[0].Receive(packets(64, 2048))
	return err
}

func transmit(c *memif.Conn) error {
	_, err := c.TxQueues()[0].Transmit(packets(64, 2048))
	return err
}

func look(c *memif.Conn) error {
	_, err := c.RxQueues()[0].Arm()
	return err
}

func TestHostileRings(t *testing.T) {
	descriptor := func(d memiftest.Descriptor) func(*memiftest.Slave) {
		return func(s *memiftest.Slave) {
			*s.S2M[0].Descriptor(0), *s.S2M[0].Head() = d, 1
			*s.M2S[0].Descriptor(0), *s.M2S[0].Head() = d, 1
		}
	}
	heads := func(head uint16) func(*memiftest.Slave) {
		return func(s *memiftest.Slave) { *s.S2M[0].Head(), *s.M2S[0].Head() = head, head }
	}
	const all = 1<<32 - 1
	for _, c := range []struct {
		name string
		do   func(*memiftest.Slave)
		use  []func(*memif.Conn) error
		want memif.Reason
	}{
		{"no such region", descriptor(memiftest.Descriptor{Region: 1, Length: 100}), []func(*memif.Conn) error{receive, transmit}, memif.ErrDescriptor},
		{"region 65535", descriptor(memiftest.Descriptor{Region: 65535, Length: 100}), []func(*memif.Conn) error{receive, transmit}, memif.ErrDescriptor},
		{"offset behind the region", descriptor(memiftest.Descriptor{Offset: all, Length: 1}), []func(*memif.Conn) error{receive, transmit}, memif.ErrDescriptor},
		{"length behind the region", descriptor(memiftest.Descriptor{Length: all}), []func(*memif.Conn) error{receive, transmit}, memif.ErrDescriptor},
		{"a sum of 2^32", descriptor(memiftest.Descriptor{Offset: 1 << 31, Length: 1 << 31}), []func(*memif.Conn) error{receive, transmit}, memif.ErrDescriptor},
		{"a sum of 2^32+64", descriptor(memiftest.Descriptor{Offset: all - 63, Length: 128}), []func(*memif.Conn) error{receive, transmit}, memif.ErrDescriptor},
		{"a buffer of no bytes", descriptor(memiftest.Descriptor{}), []func(*memif.Conn) error{transmit}, memif.ErrDescriptor},
		{"more packets than slots", heads(9), []func(*memif.Conn) error{receive, transmit, look}, memif.ErrIndex},
		{"a head behind", heads(65535), []func(*memif.Conn) error{receive, transmit, look}, memif.ErrIndex},
		{"a head far away", heads(1 << 15), []func(*memif.Conn) error{receive, transmit, look}, memif.ErrIndex},
		{"an endless chain", func(s *memiftest.Slave) {
			for i := range uint16(8) {
				s.S2M[0].Descriptor(i).Flags = memiftest.FlagNext
			}
			*s.S2M[0].Head() = 8
		}, []func(*memif.Conn) error{receive}, memif.ErrDescriptor},
	} {
		for i, use := range c.use {
			t.Run(c.name, func(t *testing.T) {
				nothingLeft(t)
				within(t, soonEnough, func() time.Duration {
					hostile, conn, e := assault(t)
					c.do(hostile)
					start := time.Now()
					if err := use(conn); !errors.Is(err, c.want) {
						t.Errorf("use %d: %v, want %v", i, err, c.want)
					}
					if err := next(t, e.disconnects); !errors.Is(err, c.want) {
						t.Errorf("ended because %v", err)
					}
					took := time.Since(start)
					if d, err := hostile.End(); memif.Reason(d.Code) != c.want || err != nil {
						t.Errorf("the peer was told %+v, %v", d, err)
					}
					return took
				})
			})
		}
	}
}

// In a cross-connect only the one at fault is dropped.
func TestForwardBlames(t *testing.T) {
	nothingLeft(t)
	for _, c := range []struct {
		name      string
		src, dst  memiftest.Descriptor
		want      memif.Reason
		blamesDst bool
	}{
		{"the source", memiftest.Descriptor{Region: 9}, memiftest.Descriptor{Length: 2048}, memif.ErrDescriptor, false},
		{"the destination", memiftest.Descriptor{Length: 64}, memiftest.Descriptor{Region: 9}, memif.ErrDescriptor, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, connA, _ := assault(t)
			b, connB, _ := assault(t)
			*a.S2M[0].Descriptor(0), *a.S2M[0].Head() = c.src, 1
			*b.M2S[0].Descriptor(0), *b.M2S[0].Head() = c.dst, 1
			if n, err := memif.Forward(connB.TxQueues()[0], connA.RxQueues()[0], 8); n != 0 || !errors.Is(err, c.want) {
				t.Errorf("forwarded %d, %v", n, err)
			}
			guilty, innocent := connA, connB
			if c.blamesDst {
				guilty, innocent = connB, connA
			}
			<-guilty.Done()
			if err := innocent.Err(); err != nil {
				t.Errorf("the other one ended too: %v", err)
			}
		})
	}
}

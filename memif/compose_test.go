// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/polynic/polynic/memif"
)

// series makes packets of given lengths, filled with their numbers.
type series struct {
	lengths []int
	made    int
}

func (s *series) NextLen() int {
	if s.made == len(s.lengths) {
		return 0
	}
	return s.lengths[s.made]
}

func (s *series) Next(buffer []byte) {
	s.made++
	for i := range buffer {
		buffer[i] = byte(s.made)
	}
}

// compose is transmit by the other method.
func compose(c *memif.Conn) error {
	_, err := c.TxQueues()[0].Compose(&series{lengths: []int{64, 1500, 64, 1}})
	if errors.Is(err, memif.ErrBuffer) { // a hostile peer's may be of any length
		return nil
	}
	return err
}

// What is composed arrives between what is transmitted, in both directions, up
// to what does not fit into a buffer or the ring; and that can be sent later.
func TestCompose(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{RingSize: 8, MaxPacket: 3000})
	for _, way := range [][2]*memif.Interface{{master, slave}, {slave, master}} {
		tx, rx := connected(t, way[0]).TxQueues()[0], connected(t, way[1]).RxQueues()[0]
		if n, err := tx.Transmit([][]byte{{0, 0}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		s := &series{lengths: []int{1, 2048, 2049, 60, 61, 62, 63, 64, 65}}
		if n, err := tx.Compose(s); n != 2 || !errors.Is(err, memif.ErrBuffer) {
			t.Fatalf("%d packets, %v; the third is longer than a buffer", n, err)
		}
		long := make([]byte, s.NextLen())
		s.Next(long)
		if n, err := tx.Transmit([][]byte{long}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := tx.Compose(s); n != 3 || err != nil {
			t.Fatalf("%d packets, %v; there was room for 3", n, err)
		}
		if n, err := tx.Compose(s); n != 0 || err != nil {
			t.Fatalf("%d packets, %v; the ring was full", n, err)
		}
		expect(t, rx, []byte{0, 0}, filled(1, 1), filled(2, 2048), filled(3, 2049), filled(4, 60), filled(5, 61), filled(6, 62))
		if n, err := tx.Compose(s); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		expect(t, rx, filled(7, 63), filled(8, 64), filled(9, 65))
		if n, err := tx.Compose(&series{lengths: []int{3001}}); n != 0 || !errors.Is(err, memif.ErrBuffer) {
			t.Errorf("%d packets, %v; it is longer than the interface's longest", n, err)
		}
		c := tx.Counters()
		if c.Packets != 10 || c.Bytes != 2+1+2048+2049+60+61+62+63+64+65 || c.Full != 2 {
			t.Errorf("counters %+v", c)
		}
	}
}

func filled(number byte, length int) []byte { return bytes.Repeat([]byte{number}, length) }

func expect(t *testing.T, rx *memif.RxQueue, want ...[]byte) {
	t.Helper()
	got := packets(len(want)+1, 4000)
	n, err := rx.Receive(got)
	if n != len(want) || err != nil {
		t.Fatalf("%d packets, %v; want %d", n, err, len(want))
	}
	for i, w := range want {
		if !bytes.Equal(got[i], w) {
			t.Errorf("packet %d: %d bytes that begin with %d, want %d of %d", i, len(got[i]), got[i][0], len(w), w[0])
		}
	}
}

// The receiver is woken, and nothing is allocated.
func TestComposedPacketsAllocateNothing(t *testing.T) {
	skipWithRaceDetector(t)
	nothingLeft(t)
	c := newChain(t)
	s, received := &series{lengths: []int{64, 1500, 64, 1}}, packets(4, 2000)
	if got := testing.AllocsPerRun(200, func() {
		if _, err := c.src.Arm(); err != nil {
			t.Fatal(err)
		}
		s.made = 0
		if n, err := c.tx.Compose(s); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if err := c.src.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := c.src.Receive(received); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

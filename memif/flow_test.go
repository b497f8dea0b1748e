// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/polynic/polynic/memif"
)

// pattern is a packet that is different for each number and length.
func pattern(number, length int) []byte {
	p := make([]byte, length)
	for i := range p {
		p[i] = byte(number + i*7 + i>>8)
	}
	return p
}

// pass sends packets from one queue to another and checks them all; the rings
// are smaller than what is sent.
func pass(t *testing.T, tx *memif.TxQueue, rx *memif.RxQueue, lengths []int) {
	t.Helper()
	in := packets(7, memif.MaxPacket)
	for sent, received := 0, 0; received < len(lengths); {
		if sent < len(lengths) {
			n, err := tx.Transmit([][]byte{pattern(sent, lengths[sent])})
			if err != nil {
				t.Fatal(err)
			}
			sent += n
			if n == 1 && sent%5 != 0 { // let the ring fill now and then
				continue
			}
		}
		n, err := rx.Receive(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range in[:n] {
			if want := pattern(received, lengths[received]); !bytes.Equal(p, want) {
				t.Fatalf("packet %d of %d bytes arrived as %d others", received, len(want), len(p))
			}
			received++
		}
	}
	if n, err := rx.Receive(in); n != 0 || err != nil {
		t.Errorf("%d packets too many, %v", n, err)
	}
}

// both sends in both directions, on every queue.
func both(t *testing.T, a, b *memif.Interface, lengths []int) {
	t.Helper()
	ca, cb := connected(t, a), connected(t, b)
	for i := range ca.TxQueues() {
		pass(t, ca.TxQueues()[i], cb.RxQueues()[i], lengths)
	}
	for i := range cb.TxQueues() {
		pass(t, cb.TxQueues()[i], ca.RxQueues()[i], lengths)
	}
}

// mixed are n lengths of every magnitude up to most.
func mixed(n, most int) []int {
	source := rand.New(rand.NewPCG(1, uint64(most)))
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = 1 + source.IntN(1+source.IntN(most))
	}
	return append(lengths, 1, most)
}

func TestPacketsOfEveryLength(t *testing.T) {
	nothingLeft(t)
	for _, buffer := range []int{64, 2048, 9216, memif.MaxPacket} {
		t.Run(fmt.Sprint("buffers of ", buffer), func(t *testing.T) {
			master, slave := pair(t, memif.Config{BufferSize: buffer, RingSize: 2048})
			both(t, master, slave, mixed(300, memif.MaxPacket))
		})
	}
}

func TestRingsOfEverySize(t *testing.T) {
	nothingLeft(t)
	for size := memif.MinRingSize; size <= memif.MaxRingSize; size *= 2 {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			master, slave := pair(t, memif.Config{RingSize: size, BufferSize: 256})
			if got := master.Status().RingSize; got != size {
				t.Errorf("rings of %d slots", got)
			}
			n := 3 * size
			if size == 128 {
				n = 70000 // head and tail, of 16 bits, go round
			}
			both(t, master, slave, mixed(n, 400))
		})
	}
}

func TestQueuePairs(t *testing.T) {
	nothingLeft(t)
	for _, pairs := range []int{2, 3, 16} {
		t.Run(fmt.Sprint(pairs), func(t *testing.T) {
			master, slave := pair(t, memif.Config{QueuePairs: pairs, RingSize: 32})
			for _, c := range []*memif.Conn{connected(t, master), connected(t, slave)} {
				if len(c.RxQueues()) != pairs || len(c.TxQueues()) != pairs {
					t.Errorf("%d and %d queues", len(c.RxQueues()), len(c.TxQueues()))
				}
				for i, q := range c.RxQueues() {
					if q.Index() != i || c.TxQueues()[i].Index() != i {
						t.Errorf("queue %d is number %d, %d", i, q.Index(), c.TxQueues()[i].Index())
					}
				}
			}
			both(t, master, slave, mixed(500, 1518))
		})
	}
}

// The master allows less than the slave asks for.
func TestMasterLimits(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{QueuePairs: 2, RingSize: 64})
	master, slave := add(t, l, memif.Config{}), dial(t, l, memif.Config{QueuePairs: 8, RingSize: 4096})
	both(t, master, slave, mixed(500, 1518))
	if s := slave.Status(); s.RxQueues != 2 || s.TxQueues != 2 || s.RingSize != 64 {
		t.Errorf("the slave got %d and %d queues of %d", s.RxQueues, s.TxQueues, s.RingSize)
	}
}

func TestModesAndSockets(t *testing.T) {
	nothingLeft(t)
	for _, mode := range []memif.Mode{memif.Ethernet, memif.IP} {
		for _, address := range []string{"", "@memif-test"} {
			l := listen(t, memif.ListenConfig{Address: address})
			c := memif.Config{Mode: mode, ID: 7, Secret: "s3cret"}
			both(t, add(t, l, c), dial(t, l, c), mixed(50, 1518))
			l.Close()
		}
	}
}

// Packets that are not to be are dropped where they are handed over, counted,
// and hold nothing up.
func TestDropped(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	master := add(t, l, memif.Config{MaxPacket: 1000})
	slave := dial(t, l, memif.Config{RingSize: 4, BufferSize: 512})
	cm, cs := connected(t, master), connected(t, slave)
	tx, rx := cs.TxQueues()[0], cm.RxQueues()[0]
	in := packets(8, 900)

	send := func(lengths ...int) {
		t.Helper()
		for _, length := range lengths {
			if n, err := tx.Transmit([][]byte{pattern(length, length)}); n != 1 || err != nil {
				t.Fatalf("%d bytes: %d, %v", length, n, err)
			}
		}
	}
	// Of no length, more than the whole ring; more than the buffer of the
	// receiver, more than it wants at all; and good ones.
	send(0, 5*512, 950, 100)
	if n, err := rx.Receive(in); n != 1 || err != nil || !bytes.Equal(in[0], pattern(100, 100)) {
		t.Errorf("received %d, %v, %d bytes", n, err, len(in[0]))
	}
	send(1001, 200)
	if n, err := rx.Receive(in); n != 1 || err != nil || !bytes.Equal(in[0], pattern(200, 200)) {
		t.Errorf("received %d, %v, %d bytes", n, err, len(in[0]))
	}
	if got, want := tx.Counters(), (memif.TxCounters{Packets: 4, Bytes: 950 + 100 + 1001 + 200, TooLong: 1, Empty: 1}); got != want {
		t.Errorf("sender counted %+v, want %+v", got, want)
	}
	if got, want := rx.Counters(), (memif.RxCounters{Packets: 2, Bytes: 300, TooLong: 2}); got != want {
		t.Errorf("receiver counted %+v, want %+v", got, want)
	}
	// A master takes no packet that is longer than its own limit.
	if n, err := cm.TxQueues()[0].Transmit([][]byte{pattern(0, 1001), pattern(0, 1000)}); n != 2 || err != nil {
		t.Error(n, err)
	}
	if got := cm.TxQueues()[0].Counters(); got.TooLong != 1 || got.Packets != 1 {
		t.Errorf("master counted %+v", got)
	}
}

func TestFullRing(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{RingSize: 8})
	out := packets(20, 64)
	in := packets(20, 64)
	for _, end := range [][2]*memif.Conn{
		{connected(t, slave), connected(t, master)},
		{connected(t, master), connected(t, slave)},
	} {
		tx, rx := end[0].TxQueues()[0], end[1].RxQueues()[0]
		for range 3 {
			if n, err := tx.Transmit(out); n != 8 || err != nil {
				t.Fatalf("sent %d, %v; the ring has 8 slots", n, err)
			}
			if n, err := rx.Receive(in); n != 8 || err != nil {
				t.Fatalf("received %d, %v", n, err)
			}
		}
		if got := tx.Counters().Full; got != 3 {
			t.Errorf("full %d times", got)
		}
	}
}

// A slave waits for its whole ring if a packet needs that much.
func TestPacketAsLongAsTheRing(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{RingSize: 4, BufferSize: 512})
	tx, rx := connected(t, slave).TxQueues()[0], connected(t, master).RxQueues()[0]
	long, in := [][]byte{pattern(1, 4*512)}, packets(4, 4*512)
	if n, err := tx.Transmit(packets(1, 10)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := tx.Transmit(long); n != 0 || err != nil {
		t.Errorf("into three of four slots: %d, %v", n, err)
	}
	if n, err := rx.Receive(in); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := tx.Transmit(long); n != 1 || err != nil {
		t.Errorf("into an empty ring: %d, %v", n, err)
	}
	if n, err := rx.Receive(in); n != 1 || err != nil || !bytes.Equal(in[0], long[0]) {
		t.Errorf("received %d packets, %v", n, err)
	}
	if got, want := tx.Counters(), (memif.TxCounters{Packets: 2, Bytes: 10 + 4*512, Full: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

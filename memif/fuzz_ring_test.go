// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"

	"github.com/polynic/polynic/memif/internal/shm"
	"github.com/polynic/polynic/memif/memiftest"
)

// arena is a connection without a control channel whose peer is the fuzzer:
// one ring each way, of eight slots with buffers of 64 bytes.
type arena struct {
	conn   *Conn
	region []byte // as the peer sees it
	layout layout
}

func newArena(t testing.TB, role string) *arena {
	t.Helper()
	l := layout{log2: 3, s2m: 1, m2s: 1, buffer: 64}
	fd, region, err := memiftest.Memfd(int64(l.size()), memiftest.SealShrink)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFile(fd)
	mapped, err := shm.Map(fd, l.size(), shm.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	control := &net.UnixConn{} // has no deadlines
	config, err := Config{MaxPacket: 300}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{control: channel{control}, ifc: newInterface(config, nil), maxPacket: 300, regions: []*shm.Region{mapped}, memory: [][]byte{mapped.Bytes}}
	a := &arena{conn: c, region: region, layout: l}
	s2m, m2s := c.addTx, c.addRx
	if role == "master" {
		s2m, m2s = c.addRx, c.addTx
	}
	for n, add := range []func(int) *queue{s2m, m2s} {
		fd, err := newEventfd()
		if err != nil {
			t.Fatal(err)
		}
		q := add(fd)
		q.memory = c.memory
		if q.ring, err = shm.Format(c.memory[0], uint32(l.ringAt(n)), l.log2); err != nil {
			t.Fatal(err)
		}
		for i := range q.ring.Slots() {
			q.ring.Store(i, shm.Descriptor{Offset: uint32(l.buffersAt(n)) + uint32(i)*64, Length: 64})
		}
		if role == "slave" {
			q.buffer, q.ownAt = l.buffer, uint32(l.buffersAt(n))
			q.own = q.memory[0][q.ownAt:][:l.buffer<<l.log2]
		}
	}
	if role == "slave" {
		c.rx[0].offer()
	}
	return a
}

// write lets the peer write up to eight bytes somewhere in the rings' words and
// descriptors.
func (a *arena) write(at, what []byte) {
	rings := int(a.layout.ringAt(2))
	where := int(binary.LittleEndian.Uint16(at)) % (rings - 8)
	copy(a.region[where:rings], what)
}

// step is one thing that happens: the first byte says what.
const stepLen = 11

func (a *arena) step(t testing.TB, other *arena, s []byte) {
	t.Helper()
	rx, tx := a.conn.rx[0], a.conn.tx[0]
	p := [][]byte{make([]byte, 100), make([]byte, 300), make([]byte, 64)}
	var err error
	switch s[0] % 10 {
	case 0:
		before := rx.next
		_, err = rx.Receive(p)
		if moved := rx.next - before; moved > rx.ring.Slots() {
			t.Errorf("received from %d slots of %d", moved, rx.ring.Slots())
		}
	case 1:
		before := tx.next
		_, err = tx.Transmit(p[:1+s[1]%3])
		if moved := tx.next - before; moved > tx.ring.Slots() {
			t.Errorf("sent in %d slots of %d", moved, tx.ring.Slots())
		}
	case 2:
		_, err = Forward(tx, other.conn.rx[0], 4)
	case 3:
		_, err = Forward(other.conn.tx[0], rx, 4)
	case 4:
		_, err = rx.Arm()
	case 5: // the peer moves the index that is its own, by little
		for _, q := range []*queue{&rx.queue, &tx.queue} {
			if q.slave() {
				q.ring.SetTail(q.ring.Tail() + uint16(s[1]%9))
			} else {
				q.ring.SetHead(q.ring.Head() + uint16(s[1]%9))
			}
		}
	default:
		a.write(s[1:3], s[3:])
	}
	checkEnd(t, err)
}

func (a *arena) close() {
	a.conn.release()
	_ = memiftest.Unmap(a.region)
}

// FuzzRings: whatever stands in the rings, before a call or while it runs, a
// queue ends its connection or goes on, and uses no memory but the region's.
func FuzzRings(f *testing.F) {
	send := []byte{1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	offer := []byte{5, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	take := make([]byte, stepLen)
	forward := []byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	longer := []byte{9, 132, 0, 255, 255, 255, 255, 0, 0, 0, 0}
	for _, seed := range [][][]byte{{offer, send, take, send}, {offer, forward, offer, forward}, {longer, offer, take}} {
		var data []byte
		for _, s := range seed {
			data = append(data, s...)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, role := range []string{"master", "slave"} {
			a, other := newArena(t, role), newArena(t, role)
			stop := make(chan struct{})
			var racing sync.WaitGroup
			if len(data)%stepLen > 0 { // a racing peer writes what is left over
				racing.Go(func() { a.race(data, stop) })
			}
			for s := data; len(s) >= stepLen && a.conn.Err() == nil; s = s[stepLen:] {
				a.step(t, other, s)
			}
			close(stop)
			racing.Wait()
			a.close()
			other.close()
		}
	})
}

// race makes the writes of the steps again and again.
func (a *arena) race(data []byte, stop <-chan struct{}) {
	for {
		for s := data; len(s) >= stepLen; s = s[stepLen:] {
			select {
			case <-stop:
				return
			default:
				a.write(s[1:3], s[3:stepLen])
			}
		}
		if len(data) < stepLen {
			return
		}
	}
}

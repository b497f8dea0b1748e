// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/polynic/polynic/memif"
)

// The way is slave A - master A - Forward - master B - slave B, and the other way
// round: every kind of ring is a source and a destination.
func TestForward(t *testing.T) {
	nothingLeft(t)
	for _, c := range []struct{ a, b memif.Config }{
		{memif.Config{}, memif.Config{}},
		{memif.Config{BufferSize: 64, RingSize: 2048}, memif.Config{BufferSize: 9000}},
		{memif.Config{BufferSize: 9000}, memif.Config{BufferSize: 64, RingSize: 2048}},
		{memif.Config{BufferSize: 100, RingSize: 512}, memif.Config{BufferSize: 300, RingSize: 128}},
	} {
		t.Run(fmt.Sprint(c.a.BufferSize, " to ", c.b.BufferSize), func(t *testing.T) {
			masterA, slaveA := pair(t, c.a)
			masterB, slaveB := pair(t, c.b)
			lengths := mixed(500, 20000)
			relay(t, [4]*memif.Interface{slaveA, masterA, masterB, slaveB}, lengths)
			relay(t, [4]*memif.Interface{masterA, slaveA, slaveB, masterB}, lengths)
			relay(t, [4]*memif.Interface{slaveB, masterB, slaveA, masterA}, lengths)
		})
	}
}

// relay sends packets from the first interface over two others to the last.
func relay(t *testing.T, way [4]*memif.Interface, lengths []int) {
	t.Helper()
	tx, rx := connected(t, way[0]).TxQueues()[0], connected(t, way[3]).RxQueues()[0]
	src, dst := connected(t, way[1]).RxQueues()[0], connected(t, way[2]).TxQueues()[0]
	in := packets(3, memif.MaxPacket)
	for sent, received := 0, 0; received < len(lengths); {
		if sent < len(lengths) {
			n, err := tx.Transmit([][]byte{pattern(sent, lengths[sent])})
			if err != nil {
				t.Fatal(err)
			}
			if sent += n; n > 0 && sent%7 != 0 {
				continue
			}
		}
		if _, err := memif.Forward(dst, src, 5); err != nil {
			t.Fatal(err)
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
}

func TestForwardCountsAndStops(t *testing.T) {
	nothingLeft(t)
	masterA, slaveA := pair(t, memif.Config{RingSize: 64})
	masterB, slaveB := pair(t, memif.Config{RingSize: 16, MaxPacket: 1000})
	tx, rx := connected(t, slaveA).TxQueues()[0], connected(t, slaveB).RxQueues()[0]
	src, dst := connected(t, masterA).RxQueues()[0], connected(t, masterB).TxQueues()[0]
	if n, err := memif.Forward(dst, src, 100); n != 0 || err != nil {
		t.Errorf("of nothing: %d, %v", n, err)
	}
	// A packet too long for the destination is dropped, the others go.
	out := append(packets(20, 100), make([]byte, 1001))
	out[0], out[20] = out[20], out[0]
	if n, err := tx.Transmit(out); n != 21 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := memif.Forward(dst, src, 5); n != 5 || err != nil {
		t.Errorf("limited to 5: %d, %v", n, err)
	}
	if n, err := memif.Forward(dst, src, 100); n != 12 || err != nil {
		t.Errorf("until the ring is full: %d, %v", n, err)
	}
	if n, err := memif.Forward(dst, src, 100); n != 0 || err != nil {
		t.Errorf("into a full ring: %d, %v", n, err)
	}
	if n, err := rx.Receive(packets(20, 100)); n != 16 || err != nil {
		t.Errorf("received %d, %v", n, err)
	}
	if n, err := memif.Forward(dst, src, 100); n != 4 || err != nil {
		t.Errorf("the rest: %d, %v", n, err)
	}
	if got, want := dst.Counters(), (memif.TxCounters{Packets: 20, Bytes: 2000, TooLong: 1, Full: 2}); got != want {
		t.Errorf("destination counted %+v, want %+v", got, want)
	}
	if got := src.Counters(); got.Packets != 21 {
		t.Errorf("source counted %+v", got)
	}

	// Each end's end is told.
	for _, end := range []*memif.Conn{connected(t, masterB), connected(t, masterA)} {
		end.Disconnect("enough")
		<-end.Done()
		if n, err := memif.Forward(dst, src, 1); n != 0 || err == nil {
			t.Errorf("after a disconnect: %d, %v", n, err)
		}
	}
}

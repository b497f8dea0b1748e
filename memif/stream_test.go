// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
)

func TestReadAndWrite(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{})
	for _, end := range [][2]*memif.Interface{{master, slave}, {slave, master}} {
		p := make([]byte, 3000)
		for i, length := range []int{1, 64, 1518, 3000} {
			if n, err := end[0].Write(soon(t), pattern(i, length)); n != length || err != nil {
				t.Fatal(n, err)
			}
			n, err := end[1].Read(soon(t), p)
			if err != nil || !bytes.Equal(p[:n], pattern(i, length)) {
				t.Errorf("read %d bytes, %v", n, err)
			}
		}
		// What follows the slice is not touched, whatever its capacity.
		copy(p, "1234567890")
		if _, err := end[0].Write(soon(t), []byte("abcdefgh")); err != nil {
			t.Fatal(err)
		}
		if _, err := end[0].Write(soon(t), []byte("abc")); err != nil {
			t.Fatal(err)
		}
		if n, err := end[1].Read(soon(t), p[:4]); n != 3 || err != nil || string(p[:3]) != "abc" || string(p[4:10]) != "567890" {
			t.Errorf("read %d, %v: %q", n, err, p[:10])
		}
	}
}

// Both ends send more than the rings hold, at once, and all of it arrives, in
// order, on all queues.
func TestBatchesWait(t *testing.T) {
	nothingLeft(t)
	const total = 20000
	master, slave := pair(t, memif.Config{RingSize: 64, BufferSize: 512, BusyPoll: 20 * time.Microsecond})
	ended := make(chan error)
	for _, end := range [][2]*memif.Interface{{master, slave}, {slave, master}} {
		go func() {
			for n := 0; n < total; n += 100 {
				batch := make([][]byte, 100)
				for i := range batch {
					batch[i] = pattern(n+i, 1+(n+i)%1500)
				}
				if sent, err := end[0].WriteBatch(t.Context(), batch); sent != 100 || err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		go func() {
			in := packets(100, 2048)
			for n := 0; n < total; {
				got, err := end[1].ReadBatch(t.Context(), in)
				if err != nil {
					ended <- err
					return
				}
				for _, p := range in[:got] {
					if !bytes.Equal(p, pattern(n, 1+n%1500)) {
						ended <- errors.New("another packet than was sent")
						return
					}
					n++
				}
			}
			ended <- nil
		}()
	}
	for range 4 {
		if err := next(t, ended); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadFromAllQueues(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{QueuePairs: 4})
	for i, q := range connected(t, slave).TxQueues() {
		if n, err := q.Transmit([][]byte{pattern(i, 100), pattern(i, 100)}); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	in := packets(5, 200)
	total := 0
	for total < 8 {
		n, err := master.ReadBatch(soon(t), in)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if n, err := master.ReadBatch(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("into nothing: %d, %v", n, err)
	}
}

// A stream goes on over a disconnection.
func TestStreamSurvives(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{RingSize: 8})
	p := make([]byte, 2000)
	for round := range 5 {
		got := make(chan error)
		go func() {
			_, err := master.Read(soon(t), p)
			got <- err
		}()
		asleep(t, connected(t, slave).TxQueues()[0])
		old := connected(t, slave)
		if round%2 == 0 {
			old.Disconnect("again")
		} else {
			connected(t, master).Disconnect("again")
		}
		<-old.Done()
		if _, err := slave.Write(soon(t), pattern(0, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := next(t, got); err != nil {
			t.Fatal(err)
		}
	}
	// One that waits for room, too: then for the next connection, and its room.
	written := make(chan error)
	go func() {
		_, err := slave.WriteBatch(soon(t), packets(12, 100))
		written <- err
	}()
	eventually(t, func() bool { return slave.Status().Tx.Full > 0 }, func() string { return "the ring was never full" })
	connected(t, master).Disconnect("again")
	if err := next(t, written); err != nil {
		t.Fatal(err)
	}
}

func TestStreamEnds(t *testing.T) {
	nothingLeft(t)
	master, slave := pair(t, memif.Config{RingSize: 8})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := master.Read(ctx, make([]byte, 10)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() {
		n, err := slave.WriteBatch(ctx, packets(20, 10))
		if n != 8 {
			err = errors.New(fmt.Sprint(n, " packets, ", err))
		}
		ended <- err
	}()
	eventually(t, func() bool { return slave.Status().Tx.Full > 0 }, func() string { return "the ring was never full" })
	cancel()
	if err := next(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	go func() {
		_, err := slave.Read(context.WithoutCancel(ctx), make([]byte, 10))
		ended <- err
	}()
	asleep(t, connected(t, master).TxQueues()[0])
	slave.Close()
	if err := next(t, ended); !errors.Is(err, memif.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := slave.Write(t.Context(), []byte("x")); !errors.Is(err, memif.ErrClosed) {
		t.Errorf("written on a closed interface: %v", err)
	}
}

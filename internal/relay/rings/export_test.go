// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/memif"
)

// Within judges one frame after the other at the times that now gives.
func Within(kernel netip.Addr, now func() time.Time) func(frame []byte) bool {
	b := newBounds(kernel)
	return func(frame []byte) bool { return b.within(frame, now) }
}

// RunSingly is Run for one queue, but gives every packet to the kernel in a frame
// of its own.
func (t *Twin) RunSingly(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return t.outward(ctx, 0, t.Queues[0]) })
	group.Go(func() error { return connections(ctx, t.Interface, t.serveSingly) })
	return group.Wait()
}

func (t *Twin) serveSingly(ctx context.Context, c *memif.Conn) error {
	t.conn.Store(c)
	w := t.spaces.get()
	var packets [burst][]byte
	for i := range packets {
		packets[i] = w.slab[i*2048 : i*2048 : (i+1)*2048]
	}
	for rx := c.RxQueues()[0]; ctx.Err() == nil && rx.Wait(ctx) == nil; {
		n, _ := rx.Receive(packets[:]) // an error ends Wait too
		for _, p := range packets[:n] {
			w.pieces = append(w.pieces[:0], p)
			_ = w.write(t.Queues[0].FD())
		}
	}
	return nil
}

// Serves reports whether the Twin moves packets over the connection.
func (t *Twin) Serves(c *memif.Conn) bool { return t.conn.Load() == c }

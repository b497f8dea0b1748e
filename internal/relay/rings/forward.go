// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings

import (
	"context"
	"time"

	"github.com/polynic/polynic/memif"
)

// forwardBurst is how many packets Forward moves at a time.
const forwardBurst = 256

// Forward moves packets from one memif to another, from the memory of one peer
// to that of the other, until ctx ends or one of them is closed. Nothing is
// dropped for want of room, or of a peer: it stays where it is until there is.
func Forward(ctx context.Context, from, to *memif.Interface) {
	_ = connections(ctx, from, func(ctx context.Context, c *memif.Conn) error {
		return eachQueue(ctx, c, func(i int, rx *memif.RxQueue) error {
			for ctx.Err() == nil {
				d, err := to.Connected(ctx)
				if err != nil {
					<-ctx.Done() // if it has not ended, it will: nothing goes to where nobody comes any more
					break
				}
				if forward(ctx, d.TxQueues()[i%len(d.TxQueues())], rx) == nil {
					continue
				}
				select { // one of the two has ended
				case <-d.Done():
				case <-ctx.Done():
				}
			}
			return nil
		})
	}) // nothing but the end of the connections ends it
}

// longestPause is how often a peer is looked at that takes nothing.
const longestPause = 10 * time.Millisecond

// forward moves packets from queue to queue until one of their connections or
// ctx ends.
func forward(ctx context.Context, tx *memif.TxQueue, rx *memif.RxQueue) error {
	var room patience
	for ctx.Err() == nil {
		if err := rx.Wait(ctx); err != nil {
			return err
		}
		n, err := memif.Forward(tx, rx, forwardBurst)
		switch {
		case err != nil:
			return err
		case n > 0:
			room = patience{}
		case !room.wait(ctx, enough) && !pause(ctx, longestPause):
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"context"
	"runtime"
	"time"
)

// Read waits for a packet, over disconnections too, and copies it to p. A
// packet that is longer than p is dropped and counted.
func (i *Interface) Read(ctx context.Context, p []byte) (n int, err error) {
	packets := [1][]byte{p[:len(p):len(p)]}
	if _, err := i.ReadBatch(ctx, packets[:]); err != nil {
		return 0, err
	}
	return len(packets[0]), nil
}

// ReadBatch waits for packets, over disconnections too, and copies as many as
// there are into the capacities of the slices, which it cuts to the packets'
// lengths. It takes from all queues in turn, and is for one goroutine at a time;
// for more, use the Conn's queues.
func (i *Interface) ReadBatch(ctx context.Context, packets [][]byte) (n int, err error) {
	for len(packets) > 0 {
		c, err := i.Connected(ctx)
		if err != nil {
			return 0, err
		}
		n, err := c.receiveAny(packets)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			err = c.Wait(ctx)
		}
		if err := c.survive(ctx, err); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// receiveAny takes packets from all queues, each time from another one first.
func (c *Conn) receiveAny(packets [][]byte) (n int, err error) {
	for range c.rx {
		c.turn = (c.turn + 1) % len(c.rx)
		received, err := c.rx[c.turn].Receive(packets[n:])
		n += received
		if err != nil || n == len(packets) {
			return n, err
		}
	}
	return n, nil
}

// survive waits, if an error is the end of the connection, until nothing of it
// is left; other errors it gives back.
func (c *Conn) survive(ctx context.Context, err error) error {
	if err == nil || c.Err() == nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Write sends a packet as WriteBatch does.
func (i *Interface) Write(ctx context.Context, p []byte) (n int, err error) {
	packets := [1][]byte{p}
	if _, err := i.WriteBatch(ctx, packets[:]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteBatch sends packets on the first queue, and waits until there is room
// for all, over disconnections too. It gives the number sent, or dropped as
// TxQueue.Transmit says, less than all only with an error. Packets that a peer
// had not taken when it went are lost.
func (i *Interface) WriteBatch(ctx context.Context, packets [][]byte) (n int, err error) {
	var p patience
	for n < len(packets) {
		c, err := i.Connected(ctx)
		if err != nil {
			return n, err
		}
		sent, err := c.tx[0].Transmit(packets[n:])
		n += sent
		if err := c.survive(ctx, err); err != nil {
			return n, err
		}
		if sent > 0 {
			p = patience{}
		} else if err == nil {
			if err := p.wait(ctx); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// patience waits for room in a ring, of which the protocol has no sign but the
// ring itself: at first it only lets others run, then it looks ever less often.
type patience struct {
	yields int
	pause  time.Duration
}

const (
	maxYields  = 64
	firstPause = 20 * time.Microsecond
	lastPause  = time.Millisecond
)

func (p *patience) wait(ctx context.Context) error {
	if p.yields < maxYields {
		p.yields++
		runtime.Gosched()
		return ctx.Err()
	}
	p.pause = min(max(2*p.pause, firstPause), lastPause)
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

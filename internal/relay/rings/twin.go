// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

// TwinConfig says between what a Twin moves packets.
type TwinConfig struct {
	Interface *memif.Interface
	Queues    []tap.Queue // at least one; they stay the caller's
	// MaxPacket is the Interface's.
	MaxPacket int
	// Mode is the Interface's. In mode IP the Ethernet headers end here; those of
	// packets to the kernel are from the MAC Far to the MAC Near, which is the
	// tap's.
	Mode      memif.Mode
	Near, Far model.MAC
	// Patience is how long a full ring is waited for before what comes is dropped; 0
	// is 20 ms.
	Patience time.Duration
	// LinkLocal is the kernel's IPv6 link-local address on the tap. Where it is
	// given, the application has two of its own at a time, each for a minute at
	// least, and reaches no other; and frames with VLAN tags are dropped.
	LinkLocal netip.Addr
}

// Twin moves packets between a memif and its twin in the kernel, a tap: what the
// kernel leaves to be done, cutting and checksums, is done for the application,
// and what the application sends is joined for the kernel.
type Twin struct {
	TwinConfig
	spaces workspaces
	bounds *bounds                    // nil: none
	conn   atomic.Pointer[memif.Conn] // nil while no application is connected

	counters struct{ framesIn, dropsIn, deniedIn, framesOut, dropsOut atomic.Uint64 }
}

// Stats counts frames of the tap, and packets where the memif does not.
type Stats struct {
	// FramesIn went to the kernel, FramesOut came from it: a frame is one packet
	// or several.
	FramesIn, FramesOut uint64
	// DeniedIn are packets that TwinConfig.LinkLocal keeps from the kernel.
	DeniedIn uint64
	// DropsIn are packets that the kernel did not take, as when the tap is down.
	// DropsOut are frames and packets for an application that is not connected, or
	// has taken nothing for a while.
	DropsIn, DropsOut uint64
}

// NewTwin prepares a Twin for Run.
func NewTwin(c TwinConfig) *Twin {
	c.Patience = cmp.Or(c.Patience, enough)
	return &Twin{TwinConfig: c, bounds: newBounds(c.LinkLocal)}
}

// Stats gives the counters.
func (t *Twin) Stats() Stats {
	return Stats{
		FramesIn: t.counters.framesIn.Load(), DropsIn: t.counters.dropsIn.Load(),
		DeniedIn:  t.counters.deniedIn.Load(),
		FramesOut: t.counters.framesOut.Load(), DropsOut: t.counters.dropsOut.Load(),
	}
}

// Run moves packets until ctx ends or the interface is closed (nil), or the tap
// is of no more use.
func (t *Twin) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for i, q := range t.Queues {
		group.Go(func() error { return t.outward(ctx, i, q) })
	}
	group.Go(func() error {
		defer cancel()
		return connections(ctx, t.Interface, t.serve)
	})
	return group.Wait()
}

// serve takes packets from one connection until it ends.
func (t *Twin) serve(ctx context.Context, c *memif.Conn) error {
	t.conn.Store(c)
	defer t.conn.Store(nil)
	return eachQueue(ctx, c, func(i int, rx *memif.RxQueue) error {
		return t.inward(ctx, rx, t.Queues[i%len(t.Queues)])
	})
}

// connections serves the connections of an interface, one after the other,
// until ctx ends or the interface is closed, or an error that is not about the
// connection. The context of serve ends with the connection.
func connections(ctx context.Context, i *memif.Interface, serve func(context.Context, *memif.Conn) error) error {
	for ctx.Err() == nil {
		c, _ := i.Connected(ctx)
		if c == nil {
			break // ctx has ended, or the interface was closed
		}
		if err := during(ctx, c, serve); err != nil {
			return err
		}
	}
	return nil
}

// during serves one connection, and returns when nothing of it is left.
func during(ctx context.Context, c *memif.Conn, serve func(context.Context, *memif.Conn) error) error {
	served, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() {
		select {
		case <-c.Done():
			cancel()
		case <-served.Done():
		}
	})
	if err := serve(served, c); err != nil {
		cancel()
		return err
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		cancel()
	}
	return nil
}

// eachQueue calls take for every queue of a connection at the same time, and
// waits for all of them. Each returns when the connection or ctx has ended; one
// that cannot go on takes the connection with it.
func eachQueue(ctx context.Context, c *memif.Conn, take func(int, *memif.RxQueue) error) error {
	var group sync.WaitGroup
	errs := make([]error, len(c.RxQueues()))
	for i, rx := range c.RxQueues() {
		group.Go(func() {
			if errs[i] = take(i, rx); ctx.Err() == nil {
				c.Disconnect("a queue cannot be served") // says nothing new to one that has ended
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

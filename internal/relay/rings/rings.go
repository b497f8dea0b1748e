// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package rings moves packets out of and into the rings of memifs: to and from
// a tap device of the kernel (Twin), or to another memif (Forward).
//
// Each queue has a goroutine of its own, so that whatever a peer does delays or
// ends nobody's traffic but its own. A goroutine that has nothing to do sleeps
// in the runtime's poller and holds no buffers. Nothing is allocated per packet.
package rings

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/gso"
)

const (
	// burst is how many packets are moved at a time.
	burst = 64
	// maxFrame is the longest frame of a tap: 64 KiB of packet (the kernel's
	// GSO_LEGACY_MAX_SIZE) behind Ethernet and VLAN headers.
	maxFrame = gso.HeaderLen + 65536 + 128
)

// workspace is what a goroutine needs while it moves packets.
type workspace struct {
	frames  [2 * maxFrame]byte // what a tap gave
	slab    [128 << 10]byte    // packets that are made of it, or came from a ring
	packets [][]byte
	pieces  [][]byte
	vector  [burst + 1]unix.Iovec
	header  [gso.HeaderLen]byte
	merger  gso.Merger
	// segments are those of the frame that is being cut.
	segments gso.Segments
}

// workspaces keeps those that nobody uses.
type workspaces struct{ pool sync.Pool }

func (w *workspaces) get() *workspace {
	if s, ok := w.pool.Get().(*workspace); ok {
		return s
	}
	return &workspace{packets: make([][]byte, 0, burst), pieces: make([][]byte, 0, burst)}
}

func (w *workspaces) put(s *workspace) { w.pool.Put(s) }

// patience waits for room in a ring, of which the protocol has no sign but the
// ring itself: at first it only lets others run, then it looks ever less often.
type patience struct {
	yields int
	pause  time.Duration
	spent  time.Duration
}

const (
	maxYields  = 32
	firstPause = 20 * time.Microsecond
	longPause  = time.Millisecond
	// enough is when a peer that takes nothing counts as stuck. It is longer
	// than a time slice that others may have on the peer's CPU.
	enough = 20 * time.Millisecond
)

// wait waits a little, and reports whether it is worth it to look again: not
// once as much time as limit has been spent, or when ctx has ended.
func (p *patience) wait(ctx context.Context, limit time.Duration) bool {
	if p.yields < maxYields {
		p.yields++
		runtime.Gosched()
		return ctx.Err() == nil
	}
	if p.spent >= limit {
		return false
	}
	p.pause = min(max(2*p.pause, firstPause), longPause)
	p.spent += p.pause
	return pause(ctx, p.pause)
}

// pause waits, and reports false if ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

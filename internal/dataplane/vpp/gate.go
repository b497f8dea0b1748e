// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"sync"
	"time"
)

// gate keeps the making of memifs and changes of their state apart. VPP 25.10 walks
// its list of memifs when one goes up or down, lets go of the processor on the way,
// and does not see that a new one had the list moved: it crashes
// (memif_process_node in plugins/memif/memif.c; not so in 26.06).
type gate struct {
	mu      sync.Mutex // guards what follows
	making  int
	turning int
	quiet   time.Time     // until when nothing may be made
	changed chan struct{} // closed, and made anew, when somebody leaves
}

// settling is how long VPP walks at most after a change; firstSettling after the
// first memif of all, whose making has it start to walk.
const settling, firstSettling = 5 * time.Millisecond, 50 * time.Millisecond

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// enter waits until it is one's turn, to make memifs or to turn some on or off; the
// caller leaves when VPP has answered.
func (g *gate) enter(ctx context.Context, w way) (leave func(), err error) {
	for {
		wait, changed := g.try(w)
		if wait == 0 {
			return func() { g.leave(w) }, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// way is what one goes through the gate for.
type way int

const (
	toMake way = iota + 1
	toTurn
)

// try enters, or says how long to wait at most before the next try.
func (g *gate) try(w way) (wait time.Duration, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	const long = time.Minute // somebody leaves before
	rest := time.Until(g.quiet)
	switch {
	case w == toMake && g.turning > 0, w == toTurn && g.making > 0:
		return long, g.changed
	case w == toMake && rest > 0:
		return rest, g.changed
	case w == toMake:
		g.making++
	default:
		g.turning++
	}
	return 0, nil
}

func (g *gate) leave(w way) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w == toMake {
		g.making--
	} else {
		g.turning--
		g.rest(settling)
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// settleFirst keeps others from making memifs for as long as the first has VPP walk.
func (g *gate) settleFirst() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rest(firstSettling)
}

// rest is under mu.
func (g *gate) rest(d time.Duration) {
	if until := time.Now().Add(d); until.After(g.quiet) {
		g.quiet = until
	}
}

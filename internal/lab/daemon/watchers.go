// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"sync"
)

// watchers are goroutines that live as long as the daemon, whichever request
// starts them.
type watchers struct {
	requests chan func(context.Context)
	done     chan struct{}
}

func newWatchers() *watchers {
	return &watchers{requests: make(chan func(context.Context)), done: make(chan struct{})}
}

// run starts what is asked for until ctx ends, and waits for all of it.
func (w *watchers) run(ctx context.Context) {
	defer close(w.done)
	var group sync.WaitGroup
	defer group.Wait()
	for {
		select {
		case watch := <-w.requests:
			group.Go(func() { watch(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

// start has a function run until the daemon's context ends. It reports whether
// it will be: not once the daemon is leaving.
func (w *watchers) start(watch func(context.Context)) bool {
	select {
	case w.requests <- watch:
		return true
	case <-w.done:
		return false
	}
}

func (w *watchers) wait() { <-w.done }

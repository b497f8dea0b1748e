// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/polynic/polynic/internal/model"
)

// turns decides who may go on: one request at a time per container, and no ADD
// begins while a GC runs. A GC does not wait for ADDs; it is told of those that
// have begun.
type turns struct {
	mu         sync.Mutex
	containers map[string]*turn
	adding     map[model.AttachmentID]int // how often
	collecting chan struct{}              // closed when the GC that runs is done; nil without one
}

// turn is one container's; its channel holds the request that is on.
type turn struct {
	on    chan struct{}
	users int // requests that are on or wait, under turns.mu
}

func newTurns() *turns {
	return &turns{containers: map[string]*turn{}, adding: map[model.AttachmentID]int{}}
}

// container waits for the container's other requests, first come first
// served; done lets the next one on.
func (t *turns) container(ctx context.Context, id string) (done func(), err error) {
	t.mu.Lock()
	its, ok := t.containers[id]
	if !ok {
		its = &turn{on: make(chan struct{}, 1)}
		t.containers[id] = its
	}
	its.users++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if its.users--; its.users == 0 {
			delete(t.containers, id)
		}
	}
	select {
	case its.on <- struct{}{}:
		return func() { <-its.on; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("another request for container %s is not done: %w", id, context.Cause(ctx))
	}
}

// add waits while a GC runs. It comes before the container's turn: a GC takes
// turns, and would wait for an ADD that waits for it.
func (t *turns) add(ctx context.Context, id model.AttachmentID) (done func(), err error) {
	if err := t.lockIdle(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	t.adding[id]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.adding[id]--; t.adding[id] == 0 {
			delete(t.adding, id)
		}
	}, nil
}

// collect begins a GC, after another one if need be, and gives the ADDs that
// have begun.
func (t *turns) collect(ctx context.Context) (begun []model.AttachmentID, done func(), err error) {
	if err := t.lockIdle(ctx); err != nil {
		return nil, nil, err
	}
	defer t.mu.Unlock()
	mine := make(chan struct{})
	t.collecting = mine
	return slices.Collect(maps.Keys(t.adding)), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.collecting = nil
		close(mine)
	}, nil
}

// lockIdle locks mu at a moment when no GC runs.
func (t *turns) lockIdle(ctx context.Context) error {
	for {
		t.mu.Lock()
		running := t.collecting
		if running == nil {
			return nil
		}
		t.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return fmt.Errorf("garbage collection is not done: %w", context.Cause(ctx))
		}
	}
}

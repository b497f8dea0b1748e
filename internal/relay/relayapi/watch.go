// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Watch hands events to take, one at a time and in their order, until ctx ends
// (nil) or the client is closed; in the meantime it keeps the connection up.
// take may call the client. The first event is EventConnected, as soon as the
// relay answers; after each such event only List tells what the relay holds.
// One Watch may run at a time.
func (c *Client) Watch(ctx context.Context, take func(Event)) error {
	events, err := c.subscribe()
	if err != nil {
		return err
	}
	defer c.unsubscribe()
	for {
		var retry <-chan time.Time
		if _, err := c.dial(ctx); errors.Is(err, errClosed) {
			return err
		} else if err != nil {
			retry = time.After(redial)
		}
		for _, e := range events.drain() {
			take(e)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-events.filled:
		case <-retry:
		}
	}
}

func (c *Client) subscribe() (*queue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch != nil {
		return nil, errors.New("the relay is being watched already")
	}
	c.watch = &queue{filled: make(chan struct{}, 1)}
	if c.session != nil {
		c.deliver(Event{Kind: EventConnected})
	}
	return c.watch, nil
}

func (c *Client) unsubscribe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = nil
}

// deliver queues an event for the watcher; c.mu is held.
func (c *Client) deliver(e Event) {
	if c.watch != nil {
		c.watch.put(e)
	}
}

// queue holds events until the watcher takes them. It has no bound of its own:
// between two connects there is at most one event per port.
type queue struct {
	filled chan struct{}

	mu     sync.Mutex
	events []Event
}

func (q *queue) put(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, e)
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

func (q *queue) drain() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

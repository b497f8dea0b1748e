// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/polynic/polynic/internal/relay/nswatch"
	"github.com/polynic/polynic/internal/relay/pump"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/tap"
)

// parts are what ports are made of.
type parts struct {
	pump       *pump.Pump
	namespaces *nswatch.Watcher
	records    *records
}

// table holds the ports. One operation runs at a time: each of them waits for
// the kernel's one lock of network devices (rtnl) anyway.
type table struct {
	parts
	log *slog.Logger
	// notify tells the clients; it does not wait for them.
	notify   func(relayapi.Event)
	failures sync.WaitGroup

	mu    sync.Mutex
	ports map[string]*port
}

func newTable(p parts, notify func(relayapi.Event), log *slog.Logger) *table {
	return &table{parts: p, log: log, notify: notify, ports: map[string]*port{}}
}

// attach makes the port so, and leaves it alone where it is so already.
func (t *table) attach(want relayapi.TapPort) error {
	if err := want.Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[want.ID]; p != nil {
		if p.is(want) && p.reason == nil && p.check() == nil {
			return nil
		}
		if err := t.forget(p); err != nil {
			return err
		}
	}
	p := &port{TapPort: want}
	if err := t.open(p, tap.Create); err != nil {
		return err
	}
	if err := t.records.put(p.TapPort); err != nil {
		return errors.Join(err, t.undo(p))
	}
	t.ports[p.ID] = p
	t.log.Debug("attached", slog.String("port", p.ID))
	return nil
}

// open opens a port's devices and moves frames, or leaves nothing behind.
func (t *table) open(p *port, device opener) error {
	if err := p.open(device); err != nil {
		return err
	}
	err := p.start(t.parts, func(cause error) {
		t.failures.Go(func() { t.fail(p, cause) })
	})
	if err != nil {
		return errors.Join(err, t.undo(p))
	}
	return nil
}

func (t *table) undo(p *port) error {
	p.stop(t.parts)
	return p.discard()
}

// fail closes a port whose device or namespace is gone.
func (t *table) fail(p *port, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ports[p.ID] != p || p.reason != nil {
		return
	}
	if err := p.check(); err != nil {
		cause = err // names the device that is gone
	}
	p.reason = cause
	p.stop(t.parts)
	if err := errors.Join(p.close(), t.records.remove(p.ID)); err != nil {
		t.log.Warn("closing a port", slog.String("port", p.ID), slog.Any("error", err))
	}
	t.log.Warn("port failed", slog.String("port", p.ID), slog.Any("reason", cause))
	t.notify(relayapi.Event{Kind: relayapi.EventPortFailed, ID: p.ID, Reason: cause.Error()})
}

// detach closes the port's files and forgets it.
func (t *table) detach(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[id]; p != nil {
		return t.forget(p)
	}
	return nil
}

func (t *table) forget(p *port) error {
	delete(t.ports, p.ID)
	var err error
	if p.reason == nil {
		p.stop(t.parts)
		err = p.close()
	}
	t.log.Debug("detached", slog.String("port", p.ID))
	return errors.Join(err, t.records.remove(p.ID))
}

func (t *table) list() []relayapi.PortState {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := make([]relayapi.PortState, 0, len(t.ports))
	for _, p := range t.ports {
		states = append(states, p.state())
	}
	slices.SortFunc(states, func(a, b relayapi.PortState) int { return cmp.Compare(a.ID, b.ID) })
	return states
}

// close closes all files and leaves devices and records for the next worker.
// The pump and the watcher are closed already, so that no port fails any more.
func (t *table) close() error {
	t.failures.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, p := range t.ports {
		if p.reason == nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(errs...)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
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
	sockets    *sockets
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
	if p := t.ports[want.ID]; p != nil && p.reason == nil {
		if d, ok := p.device.(tapDevice); ok && d.is(want) && d.check() == nil {
			return nil
		}
	}
	return t.replace(want.ID, t.tapDevice(want))
}

// attachMemif does so for a memif port.
func (t *table) attachMemif(want relayapi.MemifPort) error {
	if err := want.Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.cross()
	if p := t.ports[want.ID]; p != nil && p.reason == nil {
		d, ok := p.device.(*memifPort)
		if ok && d.is(want) && d.check() == nil {
			return nil
		}
		if ok && d.sameRings(want) && d.socket.check() == nil {
			return t.replug(p, d, want)
		}
	}
	return t.replace(want.ID, &memifPort{MemifPort: want, parts: t.parts})
}

// replug gives a memif another twin or peer. t.mu is held.
func (t *table) replug(p *port, d *memifPort, want relayapi.MemifPort) error {
	if err := d.replug(want, tap.Create); err != nil {
		return errors.Join(err, t.forget(p))
	}
	if err := t.records.put(d.record()); err != nil {
		return errors.Join(err, t.forget(p))
	}
	t.log.Debug("attached otherwise", slog.String("port", p.id))
	return nil
}

// replace attaches a port, instead of one that was there. t.mu is held.
func (t *table) replace(id string, d device) error {
	if p := t.ports[id]; p != nil {
		if err := t.forget(p); err != nil {
			return err
		}
	}
	p := &port{id: id, device: d}
	if err := t.open(p, tap.Create); err != nil {
		return err
	}
	if err := t.records.put(d.record()); err != nil {
		return errors.Join(err, p.discard())
	}
	t.ports[id] = p
	t.log.Debug("attached", slog.String("port", id))
	return nil
}

// open opens a port's devices and moves frames, or leaves nothing behind.
func (t *table) open(p *port, device opener) error {
	return p.open(device, func(cause error) {
		t.failures.Go(func() { t.fail(p, cause) })
	})
}

// fail closes a port whose device or namespace is gone.
func (t *table) fail(p *port, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ports[p.id] != p || p.reason != nil {
		return
	}
	if err := p.check(); err != nil {
		cause = err // names the device that is gone
	}
	p.reason = cause
	if err := errors.Join(p.close(), t.records.remove(p.id)); err != nil {
		t.log.Warn("closing a port", slog.String("port", p.id), slog.Any("error", err))
	}
	t.cross()
	t.log.Warn("port failed", slog.String("port", p.id), slog.Any("reason", cause))
	t.notify(relayapi.Event{Kind: relayapi.EventPortFailed, ID: p.id, Reason: cause.Error()})
}

// detach closes the port's files and forgets it.
func (t *table) detach(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.cross()
	if p := t.ports[id]; p != nil {
		return t.forget(p)
	}
	return nil
}

func (t *table) forget(p *port) error {
	delete(t.ports, p.id)
	var err error
	if p.reason == nil {
		err = p.close()
	}
	t.log.Debug("detached", slog.String("port", p.id))
	return errors.Join(err, t.records.remove(p.id))
}

// cross connects the memifs that name each other, and parts those that do so no
// more. t.mu is held.
func (t *table) cross() {
	for _, p := range t.ports {
		m, ok := p.device.(*memifPort)
		if !ok || p.reason != nil {
			continue
		}
		var other *memifPort
		if q := t.ports[m.Peer]; q != nil && q.reason == nil {
			other, _ = q.device.(*memifPort)
		}
		m.cross(other)
	}
}

func (t *table) list() []relayapi.PortState {
	return list(t, func(p *port) (relayapi.PortState, bool) {
		d, ok := p.device.(tapDevice)
		if !ok {
			return relayapi.PortState{}, false
		}
		return d.state(p.reason), true
	})
}

func (t *table) listMemifs() []relayapi.MemifState {
	return list(t, func(p *port) (relayapi.MemifState, bool) {
		d, ok := p.device.(*memifPort)
		if !ok {
			return relayapi.MemifState{}, false
		}
		return d.state(p.reason), true
	})
}

// list gives what show makes of the ports that it knows, by their order.
func list[S any](t *table, show func(*port) (S, bool)) []S {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := make([]S, 0, len(t.ports))
	for _, p := range slices.SortedFunc(maps.Values(t.ports), func(a, b *port) int { return cmp.Compare(a.id, b.id) }) {
		if s, ok := show(p); ok {
			states = append(states, s)
		}
	}
	return states
}

// close closes all files and leaves devices and records for the next worker.
// The pump and the watcher are closed already.
func (t *table) close() error {
	t.mu.Lock()
	var errs []error
	for _, p := range t.ports {
		if p.reason == nil {
			errs = append(errs, p.close())
		}
	}
	clear(t.ports) // what fails now is of no interest
	t.mu.Unlock()
	t.failures.Wait()
	return errors.Join(errs...)
}

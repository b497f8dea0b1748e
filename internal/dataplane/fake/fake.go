// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package fake is a dataplane in memory that keeps the driver contract and
// passes its suite. It is for tests of what stands above the contract, which
// can also make it fail, stall, lose objects and go away.
package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Driver is the fake. Safe for concurrent use.
type Driver struct {
	mu      sync.Mutex
	before  func(context.Context, desired.Change) error
	objects desired.Set
	cut     map[desired.Key]desired.Object // removed, and not yet reaped
	dead    map[model.Netns]bool
	jammed  map[model.Netns]error
	taken   map[string]bool // pod namespace path + "/" + name of what is not ours
	hits    chan dataplane.Hit
	applied int // changes made, ever
	batches []int

	services services
}

var _ dataplane.Driver = (*Driver)(nil)

// New makes an empty dataplane.
func New() *Driver {
	return &Driver{
		objects: desired.Set{},
		cut:     map[desired.Key]desired.Object{},
		dead:    map[model.Netns]bool{},
		jammed:  map[model.Netns]error{},
		taken:   map[string]bool{},
		hits:    make(chan dataplane.Hit, 64),
		before:  func(context.Context, desired.Change) error { return nil },
	}
}

// Before has a function called ahead of every change that is made from now on;
// its error fails the change. It may block.
func (d *Driver) Before(before func(context.Context, desired.Change) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// Observe implements dataplane.Driver.
func (d *Driver) Observe(_ context.Context, scope dataplane.Scope) (desired.Set, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := desired.Set{}
	for k, o := range d.objects {
		_, wanted := scope.Want[k]
		_, isPort := desired.PortOf(o)
		if wanted || isPort && scope.Everything {
			found[k] = o
		}
	}
	return found, nil
}

// Apply implements dataplane.Driver.
func (d *Driver) Apply(ctx context.Context, work []dataplane.Work, done func(desired.Owner, error)) {
	d.mu.Lock()
	d.batches = append(d.batches, len(work))
	d.mu.Unlock()
	for _, w := range work {
		done(w.Owner, d.applyOwner(ctx, w.Changes))
	}
}

func (d *Driver) applyOwner(ctx context.Context, changes []desired.Change) error {
	for _, c := range changes {
		d.mu.Lock()
		before := d.before
		d.mu.Unlock()
		err := before(ctx, c)
		if err == nil {
			err = d.apply(c)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.Key(), err)
		}
	}
	return nil
}

func (d *Driver) apply(c desired.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.applied++
	key := c.Key()
	if c.New == nil {
		d.remove(key)
		return nil
	}
	if err := d.needs(c.New); err != nil {
		return err
	}
	d.objects[key] = c.New
	return nil
}

// needs checks what must be there before an object can be made.
func (d *Driver) needs(o desired.Object) error {
	network, port := "", ""
	switch o := o.(type) {
	case desired.Network, desired.HostLink:
		return nil
	case desired.Veth, desired.Tap, desired.Memif:
		p, _ := desired.PortOf(o)
		if d.dead[p.Pod.Netns] {
			return dataplane.ErrNetnsGone
		}
		if d.taken[p.Pod.Netns.Path+"/"+p.Pod.Name] {
			return dataplane.ErrTaken
		}
		network = p.Network
	case desired.Route:
		network, port = o.Network, o.Interface
	case desired.Neighbor:
		network, port = o.Network, o.Interface
	}
	if _, ok := d.objects[desired.Network{Name: network}.Key()]; !ok {
		return fmt.Errorf("there is no network %q", network)
	}
	if port != "" && !d.hasPort(o.Key().Owner, port) {
		return fmt.Errorf("there is no port %q", port)
	}
	return nil
}

func (d *Driver) hasPort(owner desired.Owner, name string) bool {
	for _, kind := range []desired.Kind{desired.KindVeth, desired.KindTap, desired.KindMemif} {
		if _, ok := d.objects[desired.Key{Owner: owner, Kind: kind, Name: name}]; ok {
			return true
		}
	}
	return false
}

// remove takes an object away; a port takes along what hangs on it, as links
// do, and lives on unseen until it is reaped.
func (d *Driver) remove(key desired.Key) {
	o, ok := d.objects[key]
	if !ok {
		return
	}
	delete(d.objects, key)
	port, isPort := desired.PortOf(o)
	if !isPort {
		return
	}
	d.cut[key] = o
	maps.DeleteFunc(d.objects, func(k desired.Key, o desired.Object) bool {
		switch o := o.(type) {
		case desired.Route:
			return o.Owner == key.Owner && o.Interface == port.Pod.Name
		case desired.Neighbor:
			return o.Owner == key.Owner && o.Interface == port.Pod.Name
		default:
			return false
		}
	})
}

// Reap implements dataplane.Driver.
func (d *Driver) Reap(context.Context) (map[desired.Owner]error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := map[desired.Owner]error{}
	for key, o := range d.cut {
		port, _ := desired.PortOf(o)
		if reason := d.jammed[port.Pod.Netns]; reason != nil {
			left[key.Owner] = reason
		} else {
			delete(d.cut, key)
		}
	}
	return left, nil
}

// Jam keeps what is removed in a pod's namespace from being reaped, for a
// reason; nil ends that.
func (d *Driver) Jam(ns model.Netns, reason error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jammed[ns] = reason
}

// Watch implements dataplane.Driver.
func (d *Driver) Watch(ctx context.Context, report func(dataplane.Hit)) error {
	for {
		select {
		case h := <-d.hits:
			report(h)
		case <-ctx.Done():
			return nil
		}
	}
}

// Close implements dataplane.Driver.
func (d *Driver) Close() error { return nil }

// Lose makes objects vanish without our doing, and reports it as a watch would.
func (d *Driver) Lose(keys ...desired.Key) {
	d.mu.Lock()
	var owners []desired.Owner
	for _, k := range keys {
		d.remove(k)
		delete(d.cut, k)
		if !slices.Contains(owners, k.Owner) {
			owners = append(owners, k.Owner)
		}
	}
	d.mu.Unlock()
	d.Report(dataplane.Hit{Owners: owners})
}

// Put makes objects appear without our doing, unreported.
func (d *Driver) Put(objects ...desired.Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.objects.Add(objects...)
}

// Report has the watch say something.
func (d *Driver) Report(h dataplane.Hit) { d.hits <- h }

// Kill ends a pod's namespace, and with it every port in it.
func (d *Driver) Kill(ns model.Netns) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead[ns] = true
	for k, o := range d.objects {
		if p, ok := desired.PortOf(o); ok && p.Pod.Netns == ns {
			d.remove(k)
			delete(d.cut, k)
		}
	}
}

// Take gives a name in a pod's namespace to something that is not ours.
func (d *Driver) Take(ns model.Netns, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken[ns.Path+"/"+name] = true
}

// State lists what exists; cut tells how many ports wait for a reap.
func (d *Driver) State() (objects desired.Set, cut int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.objects), len(d.cut)
}

// Applied counts the changes made so far.
func (d *Driver) Applied() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.applied
}

// Batches lists for how many owners each Apply so far was.
func (d *Driver) Batches() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.batches)
}

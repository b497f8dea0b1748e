// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// parallelOwners bounds how many owners of one Apply are worked on at once.
// The kernel changes links one at a time; more would only queue there.
const parallelOwners = 4

// Apply implements dataplane.Driver.
func (d *Driver) Apply(ctx context.Context, work []dataplane.Work, done func(desired.Owner, error)) {
	var group errgroup.Group
	group.SetLimit(parallelOwners)
	for _, w := range work {
		group.Go(func() error {
			done(w.Owner, d.applyOwner(ctx, w))
			return nil
		})
	}
	_ = group.Wait() // every error went to done
}

func (d *Driver) applyOwner(ctx context.Context, w dataplane.Work) error {
	if w.Owner.IsZero() {
		d.nodeMu.Lock()
		defer d.nodeMu.Unlock()
		for _, c := range w.Changes {
			if err := d.changeNetwork(ctx, c); err != nil {
				return fmt.Errorf("network %s: %w", c.Key().Name, err)
			}
		}
		return nil
	}
	d.index.expect(w.Owner, linkNames(w))
	s := &session{driver: d, owner: w.Owner, pods: map[model.Netns]*pod{}, links: map[string]int{}}
	defer s.close()
	if err := s.relayPart(ctx, w.Changes); err != nil {
		return err
	}
	for _, c := range w.Changes {
		if err := s.change(c); err != nil {
			return err
		}
	}
	if !s.keeps(w.Changes) {
		d.index.forget(w.Owner)
	}
	return nil
}

// linkNames lists the switch ends that the work makes.
func linkNames(w dataplane.Work) []string {
	var names []string
	for _, c := range w.Changes {
		if c.New == nil {
			continue
		}
		if p, ok := desired.PortOf(c.New); ok {
			names = append(names, linkName(w.Owner, p.Pod.Name))
		}
	}
	return names
}

// session is the work on one owner: what was opened and looked up for it.
type session struct {
	driver *Driver
	owner  desired.Owner
	pods   map[model.Netns]*pod
	links  map[string]int // index of a switch end, by the port's name
}

// pod is an open pod namespace.
type pod struct {
	ns   *netns.Handle
	nl   *nl.Handle
	nsid int // the id that the node's namespace has for it
}

func (s *session) close() {
	for _, p := range s.pods {
		p.close()
	}
}

func (p *pod) close() {
	p.nl.Close()
	_ = p.ns.Close() // only reading: nothing is lost
}

func openPod(id model.Netns) (*pod, error) {
	ns, err := netns.OpenExact(id)
	if errors.Is(err, netns.ErrGone) {
		return nil, fmt.Errorf("%w (%w)", dataplane.ErrNetnsGone, err)
	}
	if err != nil {
		return nil, err
	}
	handle, err := nl.Open(ns)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return &pod{ns: ns, nl: handle}, nil
}

// pod opens the pod's namespace once per session, and sees to it that the
// events of the namespace reach the watch.
func (s *session) pod(id model.Netns) (*pod, error) {
	if p := s.pods[id]; p != nil {
		return p, nil
	}
	p, err := openPod(id)
	if err != nil {
		return nil, err
	}
	s.pods[id] = p
	if p.nsid, err = s.driver.node.nl.NSID(p.ns); err != nil {
		return nil, err
	}
	s.driver.index.setNamespace(s.owner, p.nsid)
	return p, nil
}

// change makes, alters or removes one object.
func (s *session) change(c desired.Change) error {
	if c.New == nil {
		return s.remove(c.Old)
	}
	switch o := c.New.(type) {
	case desired.Veth:
		return named(o.Port, s.makeVeth(o))
	case desired.Tap:
		return named(o.Port, s.makeTap(o))
	case desired.Route:
		return s.makeRoute(o)
	case desired.Neighbor:
		return s.makeNeighbor(o)
	case desired.Network:
		return fmt.Errorf("network %s belongs to the node, not to %s", o.Name, s.owner)
	}
	return nil
}

// named says which interface of which pod an error is about.
func named(p desired.Port, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in pod %s: %w", p.Pod.Name, p.PodName, err)
}

// keeps reports whether the owner still has a port after the changes: one was
// made or altered, or only routes and neighbours were removed.
func (s *session) keeps(changes []desired.Change) bool {
	removed := false
	for _, c := range changes {
		if c.New != nil {
			return true
		}
		if _, ok := desired.PortOf(c.Old); ok {
			removed = true
		}
	}
	return !removed
}

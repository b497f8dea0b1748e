// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
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
	if d.portsOnly {
		if err := onlyPorts(w); err != nil {
			return err
		}
	}
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
	if err := s.apply(ctx, w.Changes); err != nil {
		return err
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

func (s *session) close() {
	for _, p := range s.pods {
		p.close()
	}
}

// apply removes first, as the changes are ordered, and then makes everything
// together.
func (s *session) apply(ctx context.Context, changes []desired.Change) error {
	if err := s.detach(ctx, changes); err != nil {
		return err
	}
	var wanted []desired.Object
	for _, c := range changes {
		if c.New != nil {
			wanted = append(wanted, c.New)
			continue
		}
		if err := s.remove(c.Old); err != nil {
			return err
		}
	}
	return s.make(ctx, wanted)
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

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
)

// parallelOwners bounds how many owners of one Apply are worked on at once. VPP
// works off what all of them ask for one after the other; so many keep it busy
// while answers are on their way. parallelKernel is how many of them have the kernel
// make its part, which changes links one at a time.
const parallelOwners, parallelKernel = 16, 4

// Apply implements dataplane.Driver.
func (d *Driver) Apply(ctx context.Context, work []dataplane.Work, done func(desired.Owner, error)) {
	// What the pods are joined to comes first: they need not fail for its sake after
	// VPP was started anew.
	for _, w := range work {
		if w.Owner.IsZero() {
			done(w.Owner, d.applyOwner(ctx, w))
		}
	}
	var group errgroup.Group
	group.SetLimit(parallelOwners)
	for _, w := range work {
		if w.Owner.IsZero() {
			continue
		}
		group.Go(func() error {
			done(w.Owner, d.applyOwner(ctx, w))
			return nil
		})
	}
	_ = group.Wait() // every error went to done
}

func (d *Driver) applyOwner(ctx context.Context, w dataplane.Work) error {
	if w.Owner.IsZero() {
		return d.applyNode(ctx, w.Changes)
	}
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	s := &session{Driver: d, k: k, owner: w.Owner, indices: map[string]*iface{}}
	return s.apply(ctx, w.Changes)
}

// session is the work on one owner.
type session struct {
	*Driver
	k     *known
	owner desired.Owner
	view  *view // read when it is needed
	// indices are the owner's ports in VPP, by their names.
	indices map[string]*iface
}

// apply removes first, as the changes are ordered: VPP lets go of links before the
// kernel removes them. It has them made before VPP takes them.
func (s *session) apply(ctx context.Context, changes []desired.Change) error {
	var gone, wanted []desired.Object
	kernel := dataplane.Work{Owner: s.owner}
	for _, c := range changes {
		if c.New != nil {
			wanted = append(wanted, c.New)
		} else {
			gone = append(gone, c.Old)
		}
		if kind := c.Key().Kind; kind == desired.KindVeth || kind == desired.KindTap {
			kernel.Changes = append(kernel.Changes, c)
		}
	}
	ports, err := s.portsOf(wanted)
	if err != nil {
		return err
	}
	if err := s.haveRoom(ctx, newAmong(ports, changes)); err != nil {
		return err
	}
	if err := s.remove(ctx, gone); err != nil {
		return err
	}
	failpoint.Hit("vpp-remove")
	if err := s.makeTaps(ctx, ports); err != nil {
		return err
	}
	err = s.applyKernel(ctx, kernel)
	if errors.Is(err, dataplane.ErrTaken) && s.dropLeft(wanted) {
		err = s.applyKernel(ctx, kernel)
	}
	if err != nil || len(wanted) == 0 {
		return err
	}
	failpoint.Hit("vpp-kernel")
	return s.make(ctx, ports, wanted)
}

// applyKernel has the kernel's part made, or removed.
func (s *session) applyKernel(ctx context.Context, w dataplane.Work) (err error) {
	if len(w.Changes) == 0 {
		return nil
	}
	s.kernelSlots <- struct{}{}
	defer func() { <-s.kernelSlots }()
	s.ports.Apply(ctx, []dataplane.Work{w}, func(_ desired.Owner, failed error) { err = failed })
	return err
}

// newAmong are the ports that changes do not find there already.
func newAmong(ports []*port, changes []desired.Change) []*port {
	there := map[string]bool{}
	for _, c := range changes {
		if c.Old != nil && c.New != nil {
			there[c.Interface()] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(ports), func(p *port) bool { return there[p.Pod.Name] })
}

// look reads everything that VPP has, once.
func (s *session) look(ctx context.Context) (*view, error) {
	if s.view != nil {
		return s.view, nil
	}
	v, err := s.read(ctx, s.k.conn)
	if err != nil {
		return nil, err
	}
	s.view = v
	return v, nil
}

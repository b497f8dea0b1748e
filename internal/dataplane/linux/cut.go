// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/nl"
)

// remove takes one object away. A port is cut off now and deleted by the next
// Reap, because the kernel waits a grace period for every delete.
func (s *session) remove(o desired.Object) error {
	switch o := o.(type) {
	case desired.Veth:
		return named(o.Port, s.cutOffWithPod(o.Port))
	case desired.Tap:
		if s.driver.portsOnly { // it was cut off by the relay, or the switch
			s.driver.leaveEnd(s.owner, o.Pod)
			return nil
		}
		return named(o.Port, s.cutOffWithPod(o.Port))
	case desired.Memif:
		return named(o.Port, s.cutOff(o.Port))
	case desired.Route:
		return s.removeRoute(o)
	case desired.Neighbor:
		return s.removeNeighbor(o)
	case desired.Network, desired.HostLink:
		return fmt.Errorf("%s belongs to the node, not to %s", o.Key(), s.owner)
	}
	return nil
}

// cutOffWithPod cuts off a port that may leave something in the pod.
func (s *session) cutOffWithPod(p desired.Port) error {
	if err := s.cutOff(p); err != nil {
		return err
	}
	s.driver.leaveEnd(s.owner, p.Pod)
	return nil
}

func (s *session) cutOff(p desired.Port) error {
	for _, space := range s.driver.spaces() {
		if (p.Network != "" && !space.takes(p.Network)) || !space.usable() {
			continue
		}
		if err := s.cutOffIn(space, p); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) cutOffIn(space *space, p desired.Port) error {
	name := linkName(s.owner, p.Pod.Name)
	if s.owner == unmarked(p.Pod.Name) {
		name = p.Pod.Name // reported under the link's own name
	}
	link, err := s.findSwitchEnd(space, name, p)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at link %s: %w", name, err)
	}
	switch ownershipOf(link, s.owner, p.Pod.Name) {
	case foreign, leaving:
		return nil
	case ours, halfMade:
	}
	// The group first: once the link is down it must not be forgotten. A veth may
	// go meanwhile, with the pod's namespace (ENODEV).
	group := uint32(leavingGroup)
	for _, step := range []struct {
		what   string
		change nl.LinkChange
		place  string
	}{
		{"set the group of", nl.LinkChange{Group: &group}, "cut-group"},
		{"take down", nl.LinkChange{Down: true}, "cut-down"},
	} {
		var b nl.Batch
		b.SetLink(link.Index, step.change)
		if err := space.socket.Do(&b); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("%s link %s: %w", step.what, name, err)
		}
		failpoint.Hit(step.place)
	}
	return nil
}

func (s *session) removeRoute(r desired.Route) error {
	space, _, err := s.portLink(r.Network, r.Interface)
	if err != nil {
		return nil //nolint:nilerr // without link or network there is no route
	}
	var b nl.Batch
	b.DelRoute(s.switchRoute(r))
	err = space.socket.Do(&b)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove the route to %s: %w", r.Dst, err)
	}
	failpoint.Hit("remove-route")
	return nil
}

func (s *session) removeNeighbor(n desired.Neighbor) error {
	space, index, err := s.portLink(n.Network, n.Interface)
	if err != nil {
		return nil //nolint:nilerr // without link or network there is no entry
	}
	var b nl.Batch
	b.DelNeighbor(index, n.IP)
	err = space.socket.Do(&b)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove neighbour %s: %w", n.IP, err)
	}
	return nil
}

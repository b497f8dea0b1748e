// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// relayPart does what the relay has to do for the owner, in one request each:
// close the files of taps that go, create and open those that come.
func (s *session) relayPart(ctx context.Context, changes []desired.Change) error {
	var gone []string
	var taps []desired.Tap
	for _, c := range changes {
		if t, ok := c.Old.(desired.Tap); ok && c.New == nil {
			gone = append(gone, portID(s.owner, t.Pod.Name))
		}
		if t, ok := c.New.(desired.Tap); ok {
			taps = append(taps, t)
		}
	}
	if len(gone) > 0 {
		if err := s.driver.config.Relay.Detach(ctx, gone); err != nil {
			return away(fmt.Errorf("close the taps of %s: %w", s.owner, err))
		}
		failpoint.Hit("relay-detach")
	}
	return s.attachTaps(ctx, taps)
}

func (s *session) attachTaps(ctx context.Context, taps []desired.Tap) error {
	if len(taps) == 0 {
		return nil
	}
	ports := make([]relayapi.TapPort, 0, len(taps))
	for _, t := range taps {
		space, err := s.driver.space(t.Network)
		if err != nil {
			return named(t.Port, err)
		}
		if err := s.freeTwin(space, t.Port); err != nil {
			return named(t.Port, err)
		}
		ports = append(ports, tapPort(space, t))
	}
	var first error
	for i, err := range s.driver.config.Relay.Attach(ctx, ports) {
		if err != nil {
			err = fmt.Errorf("open the tap: %w", away(err))
		} else {
			err = s.claim(taps[i])
		}
		if first == nil {
			first = named(taps[i].Port, err)
		}
	}
	failpoint.Hit("relay-attach")
	return first
}

// claim gives the pod's end of a tap its MAC before anything else can fail: by
// that the device is known for ours when it has to go.
func (s *session) claim(t desired.Tap) error {
	pod, err := s.pod(t.Pod.Netns)
	if err != nil {
		return err
	}
	link, err := pod.nl.LinkByName(t.Pod.Name)
	if err != nil {
		return fmt.Errorf("find the pod's end: %w", err)
	}
	if macOf(link.Attrs().HardwareAddr) == t.Pod.MAC {
		return nil
	}
	if err := pod.nl.LinkSetHardwareAddr(link, net.HardwareAddr(t.Pod.MAC[:])); err != nil {
		return fmt.Errorf("set MAC %s: %w", t.Pod.MAC, err)
	}
	return nil
}

// freeTwin deletes a twin that was cut off and not reaped yet, so that the new
// one does not end with it.
func (s *session) freeTwin(space *space, p desired.Port) error {
	link, err := space.nl.LinkByName(linkName(s.owner, p.Pod.Name))
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the twin: %w", err)
	}
	switch ownershipOf(link.Attrs(), s.owner, p.Pod.Name) {
	case foreign:
		return fmt.Errorf("link %s: %w", link.Attrs().Name, dataplane.ErrTaken)
	case leaving:
		if err := space.nl.LinkDel(link); err != nil {
			return fmt.Errorf("delete the old twin: %w", err)
		}
	case ours, halfMade:
	}
	return nil
}

func tapPort(space *space, t desired.Tap) relayapi.TapPort {
	twin := relayapi.Link{Name: linkName(t.Owner, t.Pod.Name)}
	twin.Netns, twin.Inode = space.relayNetns()
	return relayapi.TapPort{
		ID:     portID(t.Owner, t.Pod.Name),
		Pod:    relayapi.Link{Netns: t.Pod.Netns.Path, Inode: t.Pod.Netns.Inode, Name: t.Pod.Name},
		Twin:   twin,
		Queues: t.Queues,
	}
}

// makeTap configures both devices that the relay made.
func (s *session) makeTap(t desired.Tap) error {
	space, err := s.driver.space(t.Network)
	if err != nil {
		return err
	}
	twin, err := space.nl.LinkByName(linkName(s.owner, t.Pod.Name))
	if err != nil {
		return fmt.Errorf("find the twin: %w", err)
	}
	if err := s.switchEnd(space, twin, t.Port); err != nil {
		return err
	}
	pod, err := s.pod(t.Pod.Netns)
	if err != nil {
		return err
	}
	link, err := pod.nl.LinkByName(t.Pod.Name)
	if err != nil {
		return fmt.Errorf("find the pod's end: %w", err)
	}
	return s.podEnd(pod, link, t.Port)
}

// away translates the relay's errors into those of the contract.
func away(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, relayapi.ErrAway):
		return fmt.Errorf("%w: %w", dataplane.ErrAway, err)
	case errors.Is(err, relayapi.ErrNetnsGone):
		return fmt.Errorf("%w: %w", dataplane.ErrNetnsGone, err)
	case errors.Is(err, relayapi.ErrTaken):
		return fmt.Errorf("%w: %w", dataplane.ErrTaken, err)
	default:
		return err
	}
}

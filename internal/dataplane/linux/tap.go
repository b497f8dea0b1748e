// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// tapKind is the kernel's name for taps.
const tapKind = "tun"

// detachTaps has the relay close the files of taps that go.
func (s *session) detachTaps(ctx context.Context, changes []desired.Change) error {
	var gone []string
	for _, c := range changes {
		if t, ok := c.Old.(desired.Tap); ok && c.New == nil {
			gone = append(gone, portID(s.owner, t.Pod.Name))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := s.driver.config.Relay.Detach(ctx, gone); err != nil {
		return away(fmt.Errorf("close the taps of %s: %w", s.owner, err))
	}
	failpoint.Hit("relay-detach")
	return nil
}

// openTaps has the relay create and open the taps, in one request, while the
// caller goes on; opened waits for it, and is to be called.
func (s *session) openTaps(ctx context.Context, wanted []desired.Object) (opened func() error) {
	var taps []desired.Tap
	for _, o := range wanted {
		if t, ok := o.(desired.Tap); ok {
			taps = append(taps, t)
		}
	}
	if len(taps) == 0 {
		return func() error { return nil }
	}
	result := make(chan error, 1)
	go func() { result <- s.attachTaps(ctx, taps) }()
	return func() error { return <-result }
}

// attachTaps runs beside what the session does; it uses nothing of its state.
func (s *session) attachTaps(ctx context.Context, taps []desired.Tap) error {
	ports := make([]relayapi.TapPort, 0, len(taps))
	for _, t := range taps {
		space, err := s.driver.space(t.Network)
		if err == nil {
			err = s.freeTwin(space, t.Port)
		}
		if err != nil {
			return named(t.Port, err)
		}
		ports = append(ports, tapPort(space, t))
	}
	var first error
	for i, err := range s.driver.config.Relay.Attach(ctx, ports) {
		if err != nil && first == nil {
			first = named(taps[i].Port, fmt.Errorf("open the tap: %w", away(err)))
		}
	}
	failpoint.Hit("relay-attach")
	return first
}

// findTaps looks for both devices of each tap.
func (s *session) findTaps(wanted []desired.Object) ([]*port, error) {
	var ports []*port
	for _, o := range wanted {
		t, ok := o.(desired.Tap)
		if !ok {
			continue
		}
		p, err := s.findTap(t)
		if err != nil {
			return nil, named(t.Port, err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

func (s *session) findTap(t desired.Tap) (*port, error) {
	space, err := s.driver.space(t.Network)
	if err != nil {
		return nil, err
	}
	pod, err := s.pod(t.Pod.Netns)
	if err != nil {
		return nil, err
	}
	p := &port{Port: t.Port, space: space, pod: pod}
	if p.inPod, err = pod.socket.Link(t.Pod.Name); err != nil {
		return nil, fmt.Errorf("find the pod's end: %w", err)
	}
	if p.inSwitch, err = space.socket.Link(linkName(s.owner, t.Pod.Name)); err != nil {
		return nil, fmt.Errorf("find the twin: %w", err)
	}
	return p, nil
}

// freeTwin deletes a twin that was cut off and not reaped yet, so that the new
// one does not end with it.
func (s *session) freeTwin(space *space, p desired.Port) error {
	twin, err := space.socket.Link(linkName(s.owner, p.Pod.Name))
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the twin: %w", err)
	}
	switch ownershipOf(twin, s.owner, p.Pod.Name) {
	case foreign:
		return fmt.Errorf("link %s: %w", twin.Name, dataplane.ErrTaken)
	case leaving:
		if err := space.deleteLink(twin.Index); err != nil {
			return fmt.Errorf("delete the old twin: %w", err)
		}
	case ours, halfMade:
	}
	return nil
}

func tapPort(space *space, t desired.Tap) relayapi.TapPort {
	twin := relayapi.Link{Name: linkName(t.Owner, t.Pod.Name), MAC: t.SwitchMAC}
	twin.Netns, twin.Inode = space.relayNetns()
	return relayapi.TapPort{
		ID: portID(t.Owner, t.Pod.Name),
		// By its MAC the device is known for ours when it has to go.
		Pod:    relayapi.Link{Netns: t.Pod.Netns.Path, Inode: t.Pod.Netns.Inode, Name: t.Pod.Name, MAC: t.Pod.MAC},
		Twin:   twin,
		Queues: t.Queues,
	}
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

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

// detach has the relay let go of taps and memifs that go.
func (s *session) detach(ctx context.Context, changes []desired.Change) error {
	var gone []string
	needed := false // taps that the switch has need no relay
	for _, c := range changes {
		if c.New != nil {
			continue
		}
		switch o := c.Old.(type) {
		case desired.Tap:
			gone = append(gone, portID(s.owner, o.Pod.Name))
			needed = needed || !s.driver.switchHas(o)
		case desired.Memif:
			gone = append(gone, portID(s.owner, o.Pod.Name))
			needed = true
		case desired.Network, desired.HostLink, desired.Veth, desired.Neighbor, desired.Route:
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := s.driver.config.Relay.Detach(ctx, gone); err != nil && (needed || !errors.Is(err, relayapi.ErrAway)) {
		return away(fmt.Errorf("close the taps and memifs of %s: %w", s.owner, err))
	}
	failpoint.Hit("relay-detach")
	return nil
}

// askRelay has the relay make what it holds, in one request for each kind, while
// the caller goes on; made waits for it, and is to be called.
func (s *session) askRelay(ctx context.Context, wanted []desired.Object) (made func() error) {
	var taps []desired.Tap
	var memifs []desired.Memif
	for _, o := range wanted {
		switch o := o.(type) {
		case desired.Tap:
			taps = append(taps, o)
		case desired.Memif:
			memifs = append(memifs, o)
		case desired.Network, desired.HostLink, desired.Veth, desired.Neighbor, desired.Route:
		}
	}
	if len(taps) == 0 && len(memifs) == 0 {
		return func() error { return nil }
	}
	result := make(chan error, 1)
	go func() {
		err := s.attachTaps(ctx, taps)
		if err == nil {
			err = s.attachMemifs(ctx, memifs)
		}
		result <- err
	}()
	return func() error { return <-result }
}

// firstNamed is the first of the errors that the relay has for ports.
func firstNamed(what string, errs []error, port func(int) desired.Port) error {
	for i, err := range errs {
		if err != nil {
			return named(port(i), fmt.Errorf("%s: %w", what, away(err)))
		}
	}
	return nil
}

// spaceForTwin is where the twin of a port is made.
func (s *session) spaceForTwin(p desired.Port) (*space, error) {
	space, err := s.driver.space(p.Network)
	if err != nil {
		return nil, err
	}
	return space, s.freeTwin(space, p)
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

func twinLink(space *space, p desired.Port) relayapi.Link {
	twin := relayapi.Link{Name: linkName(p.Owner, p.Pod.Name), MAC: p.SwitchMAC}
	twin.Netns, twin.Inode = space.relayNetns()
	return twin
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

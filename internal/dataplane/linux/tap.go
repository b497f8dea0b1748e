// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// tapKind is the kernel's name for taps.
const tapKind = "tun"

// attachTaps runs beside what the session does; it uses nothing of its state.
func (s *session) attachTaps(ctx context.Context, taps []desired.Tap) error {
	if len(taps) == 0 {
		return nil
	}
	ports := make([]relayapi.TapPort, 0, len(taps))
	for _, t := range taps {
		space, err := s.spaceForTwin(t.Port)
		if err != nil {
			return named(t.Port, err)
		}
		ports = append(ports, tapPort(space, t))
	}
	errs := s.driver.config.Relay.Attach(ctx, ports)
	failpoint.Hit("relay-attach")
	return firstNamed("open the tap", errs, func(i int) desired.Port { return taps[i].Port })
}

// findTap looks for both devices that the relay made.
func (s *session) findTap(t desired.Tap) (*port, error) {
	p, err := s.open(t.Port)
	if err != nil {
		return nil, err
	}
	if p.inPod, err = p.pod.socket.Link(t.Pod.Name); err != nil {
		return nil, fmt.Errorf("find the pod's end: %w", err)
	}
	if p.inSwitch, err = p.space.socket.Link(linkName(s.owner, t.Pod.Name)); err != nil {
		return nil, fmt.Errorf("find the twin: %w", err)
	}
	return p, nil
}

func tapPort(space *space, t desired.Tap) relayapi.TapPort {
	return relayapi.TapPort{
		ID: portID(t.Owner, t.Pod.Name),
		// By its MAC the device is known for ours when it has to go.
		Pod:    relayapi.Link{Netns: t.Pod.Netns.Path, Inode: t.Pod.Netns.Inode, Name: t.Pod.Name, MAC: t.Pod.MAC},
		Twin:   twinLink(space, t.Port),
		Queues: t.Queues,
	}
}

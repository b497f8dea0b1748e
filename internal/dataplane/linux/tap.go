// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"slices"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// tapKind is the kernel's name for taps.
const tapKind = "tun"

// switchHas reports whether another switch has the tap's file itself.
func (d *Driver) switchHas(t desired.Tap) bool {
	return d.portsOnly && (d.config.TapPeer == nil || d.config.TapPeer(t) == relayapi.MemifPeer{})
}

// attachTaps runs beside what the session does; it uses nothing of its state.
func (s *session) attachTaps(ctx context.Context, taps []desired.Tap) error {
	taps = slices.DeleteFunc(taps, s.driver.switchHas)
	if len(taps) == 0 {
		return nil
	}
	ports := make([]relayapi.TapPort, 0, len(taps))
	for _, t := range taps {
		port := s.driver.tapPort(t)
		if !s.driver.portsOnly {
			space, err := s.spaceForTwin(t.Port)
			if err != nil {
				return named(t.Port, err)
			}
			port.Twin = twinLink(space, t.Port)
		}
		ports = append(ports, port)
	}
	errs := s.driver.config.Relay.Attach(ctx, ports)
	failpoint.Hit("relay-attach")
	return firstNamed("open the tap", errs, func(i int) desired.Port { return taps[i].Port })
}

// findTap looks for both devices that the relay made, or for the pod's where
// another is the switch.
func (s *session) findTap(t desired.Tap) (*port, error) {
	p, err := s.open(t.Port)
	if err != nil {
		return nil, err
	}
	if p.inPod, err = p.pod.socket.Link(t.Pod.Name); err != nil {
		return nil, fmt.Errorf("find the pod's end: %w", err)
	}
	if s.driver.portsOnly {
		p.space = nil
		if p.inPod.Kind != tapKind {
			return nil, fmt.Errorf("find the pod's end: it is a %s: %w", p.inPod.Kind, dataplane.ErrTaken)
		}
		return p, nil
	}
	if p.inSwitch, err = p.space.socket.Link(linkName(s.owner, t.Pod.Name)); err != nil {
		return nil, fmt.Errorf("find the twin: %w", err)
	}
	return p, nil
}

// tapPort is what the relay is told of a tap, but for its twin.
func (d *Driver) tapPort(t desired.Tap) relayapi.TapPort {
	port := relayapi.TapPort{
		ID: portID(t.Owner, t.Pod.Name),
		// By its MAC the device is known for ours when it has to go.
		Pod:    relayapi.Link{Netns: t.Pod.Netns.Path, Inode: t.Pod.Netns.Inode, Name: t.Pod.Name, MAC: t.Pod.MAC},
		Queues: t.Queues,
	}
	if d.portsOnly {
		port.Switch = d.config.TapPeer(t)
	}
	return port
}

// relayEnd stands for the switch's end of a tap that has no link there; nil where the
// relay has let go of the tap, whose device in the pod waits for the Reap.
func (v *view) relayEnd(t desired.Tap) *nl.Link {
	_, held := v.taps[portID(t.Owner, t.Pod.Name)]
	if !held && v.taps != nil && !v.driver.switchHas(t) {
		return nil
	}
	return &nl.Link{}
}

// queues is the number of queue pairs that the relay holds of a tap; 0 where
// it holds none, or leads elsewhere. What the switch holds is the switch's to tell.
func (v *view) queues(t desired.Tap) int {
	d := v.driver
	if d.switchHas(t) {
		return t.Queues
	}
	state, ok := v.taps[portID(t.Owner, t.Pod.Name)]
	if !ok || !state.Attached || state.Pod.Inode != t.Pod.Netns.Inode {
		return 0
	}
	have, want := state.Switch, d.tapPort(t).Switch
	have.Secret, want.Secret = "", "" // it is not told
	if have != want {
		return 0
	}
	return state.Queues
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"

	"github.com/polynic/polynic/internal/nl"
)

// switchEnd brings a port's end in the network's namespace to what the plan
// says, marks it as ours, and brings it up. It gets no addresses, link-local
// ones neither: the gateway is the network's.
func (s *session) switchEnd(b *nl.Batch, p *port) {
	mark := alias(p.Port)
	group := uint32(portGroup)
	change := nl.LinkChange{Alias: &mark, NoIPv6Address: s.driver.ipv6, OwnSources: true}
	if p.inSwitch.Group != portGroup {
		change.Group = &group
	}
	if p.inSwitch.MAC != p.SwitchMAC {
		change.MAC = &p.SwitchMAC
	}
	if p.inSwitch.MTU != p.MTU {
		change.MTU = &p.MTU
	}
	b.SetLink(p.inSwitch.Index, change).OnError(func(err error) error {
		return named(p.Port, fmt.Errorf("configure the switch's end (MAC %s, MTU %d): %w", p.SwitchMAC, p.MTU, err))
	})
	// By itself: the kernel would bring it up before it looks at the rest.
	b.SetLink(p.inSwitch.Index, nl.LinkChange{Up: true}).OnError(func(err error) error {
		return named(p.Port, fmt.Errorf("bring the switch's end up: %w", err))
	})
}

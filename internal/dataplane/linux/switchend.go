// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/nl"
)

// findSwitchEnd finds a port's switch end: by its name, or, where somebody gave
// it another, by the number it was known by. Whoever knows no number, as an agent
// that is new, goes by the marks. ENODEV where there is none.
func (s *session) findSwitchEnd(space *space, name string, p desired.Port) (nl.Link, error) {
	link, err := space.socket.Link(name)
	if !errors.Is(err, unix.ENODEV) {
		return link, err
	}
	var links []nl.Link
	if number, ok := s.driver.index.numberOf(s.owner, space.nsid, name); ok {
		link, err = space.socket.LinkByIndex(number)
		links = []nl.Link{link}
	} else {
		links, err = space.socket.Links()
	}
	if err != nil {
		return nl.Link{}, err
	}
	for _, l := range links {
		if ownershipOf(l, s.owner, p.Pod.Name) == ours {
			return l, nil
		}
	}
	return nl.Link{}, unix.ENODEV
}

// switchEnd brings a port's end in the network's namespace to what the plan
// says, marks it as ours, and brings it up. But for a memif's it gets no addresses,
// link-local ones neither: the gateway is the network's.
func (s *session) switchEnd(b *nl.Batch, p *port) {
	mark := s.driver.alias(p.Port)
	group := uint32(portGroup)
	change := nl.LinkChange{Alias: &mark, NoIPv6Address: s.driver.ipv6, OwnSources: true}
	if p.inSwitch.Group != portGroup {
		change.Group = &group
	}
	mac := s.driver.linkMAC(p.SwitchMAC)
	if p.inSwitch.MAC != mac {
		change.MAC = &mac
	}
	if p.inSwitch.MTU != p.MTU {
		change.MTU = &p.MTU
	}
	b.SetLink(p.inSwitch.Index, change).OnError(func(err error) error {
		return named(p.Port, fmt.Errorf("configure the switch's end (MAC %s, MTU %d): %w", mac, p.MTU, err))
	})
	// By itself: the kernel would bring it up before it looks at the rest.
	b.SetLink(p.inSwitch.Index, nl.LinkChange{Up: true}).OnError(func(err error) error {
		return named(p.Port, fmt.Errorf("bring the switch's end up: %w", err))
	})
	for _, address := range p.addresses {
		b.SetQuietAddress(p.inSwitch.Index, address).OnError(func(err error) error {
			return named(p.Port, fmt.Errorf("add address %s to the switch's end: %w", address, err))
		})
	}
}

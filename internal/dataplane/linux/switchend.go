// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
)

// addrGenNone is IN6_ADDR_GEN_MODE_NONE (linux/if_link.h).
const addrGenNone = 1

// switchEnd brings a port's end in the network's namespace to what the plan
// says, marks it as ours, and brings it up. It gets no addresses, link-local
// ones neither: the gateway is the network's.
func (s *session) switchEnd(space *space, link netlink.Link, p desired.Port) error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"mark the switch's end", func() error { return space.nl.LinkSetAlias(link, alias(p)) }},
		{"configure the switch's end", func() error { return alterLink(space, link, p) }},
		{"keep the switch's end without IPv6 address", func() error {
			err := space.nl.LinkSetIP6AddrGenMode(link, addrGenNone)
			if errors.Is(err, unix.EAFNOSUPPORT) {
				return nil // a kernel without IPv6
			}
			return err
		}},
		{"bring the switch's end up", func() error { return space.nl.LinkSetUp(link) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		failpoint.Hit(step.name)
	}
	index := link.Attrs().Index
	s.links[p.Pod.Name] = index
	s.driver.index.setLink(linkKey{space.nsid, index}, linkMark{s.owner, p.SwitchMAC, p.MTU})
	return nil
}

// alterLink sets what the link was not born with.
func alterLink(space *space, link netlink.Link, p desired.Port) error {
	attrs := link.Attrs()
	if attrs.Group != portGroup {
		if err := space.nl.LinkSetGroup(link, portGroup); err != nil {
			return fmt.Errorf("set group: %w", err)
		}
	}
	if macOf(attrs.HardwareAddr) != p.SwitchMAC {
		if err := space.nl.LinkSetHardwareAddr(link, net.HardwareAddr(p.SwitchMAC[:])); err != nil {
			return fmt.Errorf("set MAC %s: %w", p.SwitchMAC, err)
		}
	}
	if attrs.MTU != p.MTU {
		if err := space.nl.LinkSetMTU(link, p.MTU); err != nil {
			return fmt.Errorf("set MTU %d: %w", p.MTU, err)
		}
	}
	return nil
}

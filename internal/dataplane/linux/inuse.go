// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/nl"
)

// inUseTimeout is how long the kernel may take to put addresses to use, which
// takes it some milliseconds.
const inUseTimeout = 5 * time.Second

// doUntilInUse carries out a batch that gives links IPv6 addresses, and waits for
// the kernel to answer for these. A work queue joins the groups by which
// neighbour discovery asks for them, also when there are no duplicates to look
// for, and tells of each address when that is done (addrconf_dad_completed). It
// holds the lock on links until the address has its route, too; whatever is
// changed next waits for that.
func (s *space) doUntilInUse(ctx context.Context, b *nl.Batch, addresses []nl.Address) error {
	if len(addresses) == 0 {
		return s.do(b)
	}
	events, err := nl.Subscribe(s.ns, unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return err
	}
	defer events.Close()
	if err := s.do(b); err != nil {
		return err
	}
	missing := map[nl.Address]bool{}
	for _, a := range addresses {
		missing[a] = true
	}
	ctx, stop := context.WithTimeout(ctx, inUseTimeout)
	defer stop()
	err = events.Run(ctx, func(e nl.Event) {
		if a, ok := nl.ParseAddress(e.Data); ok && e.NSID == nl.OwnNamespace && e.Type == unix.RTM_NEWADDR {
			delete(missing, a)
		}
		if len(missing) == 0 {
			stop()
		}
	})
	if err == nil && len(missing) > 0 {
		return fmt.Errorf("the kernel does not use %d IPv6 addresses yet: %w", len(missing), context.Cause(ctx))
	}
	return err
}

// addresses6 are a port's IPv6 addresses in the switch. With a link-local one the
// link would also listen to routers.
func (p *port) addresses6() ([]nl.Address, error) {
	var list []nl.Address
	for _, prefix := range p.addresses {
		if prefix.Addr().Is6() {
			list = append(list, nl.Address{Link: p.inSwitch.Index, Prefix: prefix})
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, named(p.Port, p.space.ns.Do(func() error { return p.space.sysctl.obeyNobody(p.inSwitch.Name) }))
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// source is what is listened to of a netlink protocol.
type source struct {
	protocol int
	groups   []int
	ignored  []uint16 // message types
}

// routes are the rtnetlink groups whose events can mean drift, for the node's
// namespace and every other that has an id there: the pods' and the stub
// network's. Of all but links only removals can.
func routes() source {
	return source{
		protocol: unix.NETLINK_ROUTE,
		groups: []int{
			unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		},
		ignored: []uint16{unix.RTM_NEWADDR, unix.RTM_NEWROUTE, unix.RTM_NEWNEIGH, unix.RTM_NEWRULE},
	}
}

func tables() source {
	return source{protocol: unix.NETLINK_NETFILTER, groups: []int{unix.NFNLGRP_NFTABLES}}
}

// Watch implements dataplane.Driver. It listens to the kernel and the relay.
func (d *Driver) Watch(ctx context.Context, report func(dataplane.Hit)) error {
	var mu sync.Mutex
	tell := func(h dataplane.Hit) {
		mu.Lock()
		defer mu.Unlock()
		report(h)
	}
	group, ctx := errgroup.WithContext(ctx)
	events := newSorter(d.index)
	group.Go(func() error {
		return d.watchKernel(ctx, routes(), tell, events.take)
	})
	group.Go(func() error { return events.run(ctx, tell) })
	if !d.portsOnly {
		d.services.Watch(func() { tell(dataplane.Hit{Services: true}) })
		defer d.services.Watch(nil)
		group.Go(func() error {
			return d.watchKernel(ctx, tables(), tell, func(e nl.Event) {
				if e.NSID != nl.OwnNamespace {
					return
				}
				table := tableOf(e)
				if table == nodenet.TableName {
					tell(dataplane.Hit{Owners: []desired.Owner{{}}})
				}
				d.services.Event(e.Type, e.Data, table)
			})
		})
	}
	group.Go(func() error { return d.watchRelay(ctx, tell) })
	return group.Wait()
}

// watchKernel hands on the events of one netlink protocol. Where events were
// lost, anything may have changed.
func (d *Driver) watchKernel(ctx context.Context, from source, tell func(dataplane.Hit), take func(nl.Event)) error {
	events, err := nl.Subscribe(d.node.ns, from.protocol, from.groups...)
	if err != nil {
		return err
	}
	defer events.Close()
	if err := events.Ignore(from.ignored...); err != nil {
		return err
	}
	for {
		err := events.Run(ctx, take)
		if !errors.Is(err, nl.ErrLost) {
			return err
		}
		tell(dataplane.Hit{All: true})
	}
}

// watchRelay follows the relay's comings and goings.
func (d *Driver) watchRelay(ctx context.Context, tell func(dataplane.Hit)) error {
	tell(dataplane.Hit{Away: relayapi.ErrAway}) // until it is heard of
	return d.config.Relay.Watch(ctx, func(e relayapi.Event) {
		switch e.Kind {
		case relayapi.EventConnected:
			tell(dataplane.Hit{All: true})
		case relayapi.EventDisconnected:
			tell(dataplane.Hit{Away: relayapi.ErrAway})
		case relayapi.EventPortFailed:
			if owner, _, ok := parsePortID(e.ID); ok {
				tell(dataplane.Hit{Owners: []desired.Owner{owner}})
			}
		case relayapi.EventPeerRefused:
			d.refused(e)
		}
	})
}

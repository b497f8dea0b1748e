// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
)

// podRoute leads to a pod's address on its port. The next hop is the pod itself: its
// neighbour is permanent, or asked for.
func podRoute(table uint32, dst netip.Prefix, out ifIndex) route {
	return route{table: table, dst: dst, out: out, via: dst.Addr()}
}

// reach leads the network's packets for the pod's addresses to its ports.
func (s *session) reach(ctx context.Context, b *vppapi.Batch, wanted []desired.Object) error {
	for _, o := range wanted {
		switch o := o.(type) {
		case desired.Route:
			n, i, err := s.onPort(ctx, o.Network, o.Interface)
			if err != nil {
				return fmt.Errorf("%s: %w", o.Key(), err)
			}
			if key := (routeKey{n.table, o.Dst}); s.k.takeDead(key) {
				dropRoute(b, key)
			}
			setRoute(b, podRoute(n.table, o.Dst, i.index))
		case desired.Neighbor:
			_, i, err := s.onPort(ctx, o.Network, o.Interface)
			if err != nil {
				return fmt.Errorf("%s: %w", o.Key(), err)
			}
			setNeighbor(b, i.index, o.IP, o.MAC)
		case desired.Network, desired.HostLink, desired.Veth, desired.Tap, desired.Memif:
		}
	}
	return nil
}

// onPort finds the owner's port that a route or neighbour hangs on.
func (s *session) onPort(ctx context.Context, name, port string) (network, *iface, error) {
	n, ok := s.k.network(name)
	if !ok {
		return n, nil, fmt.Errorf("there is no network %q in VPP", name)
	}
	i, err := s.find(ctx, port)
	if err == nil && i == nil {
		err = fmt.Errorf("there is no port %q", port)
	}
	return n, i, err
}

// find gives the owner's port; nil where there is none.
func (s *session) find(ctx context.Context, port string) (*iface, error) {
	if i := s.indices[port]; i != nil {
		return i, nil
	}
	tag := portTag(s.owner, port)
	if index, ok := s.k.find(tag); ok {
		i, err := readInterface(ctx, s.k.conn, index)
		if err != nil || i != nil && i.tag == tag {
			s.indices[port] = i
			return i, err
		}
	}
	v, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	s.indices[port] = v.tags[tag]
	return v.tags[tag], nil
}

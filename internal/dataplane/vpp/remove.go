// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// remove takes objects away. VPP deletes what is deleted at once.
func (s *session) remove(ctx context.Context, gone []desired.Object) error {
	var b vppapi.Batch
	for _, o := range gone {
		if err := s.ask(ctx, &b, o); err != nil {
			return err
		}
	}
	if b.Len() > 0 {
		leave, err := s.k.gate.enter(ctx, toTurn)
		if err != nil {
			return err
		}
		err = s.k.conn.Do(ctx, &b)
		leave()
		if err != nil {
			return err
		}
	}
	for _, o := range gone {
		p, isPort := desired.PortOf(o)
		if !isPort {
			continue
		}
		s.k.forget(portTag(s.owner, p.Pod.Name))
		delete(s.indices, p.Pod.Name)
		s.view = nil
		if m, isMemif := o.(desired.Memif); isMemif {
			if err := s.removeSocket(ctx, m); err != nil {
				return named(p, err)
			}
		}
	}
	return nil
}

// ask asks for an object's removal.
func (s *session) ask(ctx context.Context, b *vppapi.Batch, o desired.Object) error {
	switch o := o.(type) {
	case desired.Veth, desired.Tap, desired.Memif:
		p, _ := desired.PortOf(o)
		first := b.Len()
		if err := s.removePort(ctx, b, o, p); err != nil {
			return named(p, err)
		}
		b.Name(first, func(err error) error { return named(p, err) })
	case desired.Route:
		n, i, err := s.onPort(ctx, o.Network, o.Interface)
		if err != nil {
			return s.dropDead(ctx, b, o)
		}
		takeRoute(b, podRoute(n.table, o.Dst, i.index)).OnError(func(err error) error {
			if isGone(err) {
				return nil
			}
			return say(err, "remove the route to %s", o.Dst)
		})
	case desired.Neighbor:
		_, i, err := s.onPort(ctx, o.Network, o.Interface)
		if err != nil {
			return nil //nolint:nilerr // without port or network there is no entry
		}
		takeNeighbor(b, i.index, o.IP, o.MAC)
	case desired.Network, desired.HostLink:
		return fmt.Errorf("%s belongs to the node, not to %s", o.Key(), s.owner)
	}
	return nil
}

// dropDead removes a route whose port went without our doing: VPP keeps it.
func (s *session) dropDead(ctx context.Context, b *vppapi.Batch, o desired.Route) error {
	n, ok := s.k.network(o.Network)
	if !ok {
		return nil
	}
	v, err := s.look(ctx)
	if err != nil {
		return err
	}
	key := routeKey{n.table, o.Dst}
	if r, ok := v.routes[key]; ok && v.isDead(r) {
		s.k.takeDead(key)
		dropRoute(b, key)
	}
	return nil
}

// removePort takes an interface away, with the routes that lead to it: VPP would
// keep those.
func (s *session) removePort(ctx context.Context, b *vppapi.Batch, o desired.Object, p desired.Port) error {
	i, err := s.place(ctx, o, p)
	if err != nil || i == nil {
		return err
	}
	if n, ok := s.k.network(p.Network); ok && n.table != 0 {
		for _, a := range p.Pod.Addresses {
			takeRoute(b, podRoute(n.table, a, i.index)).OnError(func(err error) error {
				if isGone(err) {
					return nil
				}
				return say(err, "remove the route to %s", a)
			})
			takeNeighbor(b, i.index, a.Addr(), model.MAC{}) // it would be the next interface's
		}
	}
	s.k.uncheck(b, i.index)
	switch {
	case i.host != "":
		deleteHost(b, i.host)
	case i.tap != nil:
		deleteTap(b, i.index)
	default:
		deleteMemif(b, i.index)
		s.k.countMemifs(-1)
	}
	return nil
}

// place finds what has a port's place, with its tag or without one.
func (s *session) place(ctx context.Context, o desired.Object, p desired.Port) (*iface, error) {
	i, err := s.find(ctx, p.Pod.Name)
	if err != nil {
		return nil, err
	}
	link := s.ports.PortName(s.owner, p.Pod.Name)
	if i != nil && i.name == hostWord+link {
		i.host = link
	}
	if _, isTap := o.(desired.Tap); i != nil && isTap && i.dev != memifDev {
		i.tap = &tapEnd{}
	}
	if i != nil {
		return i, nil
	}
	v, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	m, _ := o.(desired.Memif)
	for _, each := range v.ifs {
		isHost := each.host != "" && (each.host == link || s.owner == unmarked(each.host))
		isOwn := each.tap != nil && each.tap.place() == endOf(p.Pod).place()
		isTap := isOwn || each.isMemif && each.socket == s.tapSocket() && each.id == tapID(s.owner, p.Pod.Name)
		isPods := each.isMemif && m.Folder != "" && each.socket == s.podSocket(m.Folder) && each.id == m.ID
		if each.tag == "" && (isHost || isTap || isPods || s.owner == unmarked(each.place())) {
			return each, nil
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// removeSocket takes the socket of a container away with its last memif.
func (s *session) removeSocket(ctx context.Context, m desired.Memif) error {
	if m.Folder == "" {
		return nil
	}
	socket := s.podSocket(m.Folder)
	isDropped, err := s.k.dropSocket(ctx, socket)
	if err != nil || !isDropped {
		return err
	}
	return unplaceSocket(socket, m.Folder)
}

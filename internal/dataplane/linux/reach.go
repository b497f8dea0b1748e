// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/nl"
)

// leads asks for what leads the network's traffic for the pod's addresses to
// their ports: routes, and neighbour entries that save the network from asking
// who has an address. taken is called, while the batch is carried out, with
// routes whose place is taken.
func (s *session) leads(b *nl.Batch, space *space, wanted []desired.Object, taken func(desired.Route)) error {
	for _, o := range wanted {
		var err error
		switch o := o.(type) {
		case desired.Route:
			err = s.onPort(space, o.Network, o.Interface, func(int) {
				b.AddRoute(s.switchRoute(o)).OnError(func(err error) error {
					if errors.Is(err, unix.EEXIST) {
						taken(o)
						return nil
					}
					return fmt.Errorf("route to %s: %w", o.Dst, err)
				})
			})
		case desired.Neighbor:
			err = s.onPort(space, o.Network, o.Interface, func(index int) {
				b.SetNeighbor(index, o.IP, o.MAC).OnError(func(err error) error {
					return fmt.Errorf("neighbour %s: %w", o.IP, err)
				})
			})
		case desired.Network, desired.HostLink, desired.Veth, desired.Tap, desired.Memif:
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.Key(), err)
		}
	}
	return nil
}

// onPort calls do with the switch end of the owner's port, if that is in the
// space.
func (s *session) onPort(space *space, network, port string, do func(index int)) error {
	if !space.takes(network) {
		return nil
	}
	_, index, err := s.portLink(network, port)
	if err != nil {
		return err
	}
	do(index)
	return nil
}

func (s *session) switchRoute(r desired.Route) nl.Route {
	return nl.Route{Link: s.links[r.Interface], Table: desired.MainTable, Dst: r.Dst, Protocol: protocol}
}

// replaceOurs replaces a route that an earlier agent left; another's stays.
func (s *session) replaceOurs(space *space, r desired.Route) error {
	existing, err := space.socket.Routes(protocol)
	if err != nil {
		return fmt.Errorf("route to %s: %w", r.Dst, err)
	}
	if !slices.ContainsFunc(existing, func(old nl.Route) bool {
		return old.Dst == r.Dst && old.Table == desired.MainTable
	}) {
		return fmt.Errorf("route to %s: %w", r.Dst, dataplane.ErrTaken)
	}
	var b nl.Batch
	b.SetRoute(s.switchRoute(r)).OnError(func(err error) error {
		return fmt.Errorf("route to %s: %w", r.Dst, err)
	})
	return space.socket.Do(&b)
}

// portLink finds the switch end of the owner's port.
func (s *session) portLink(network, port string) (*space, int, error) {
	space, err := s.driver.space(network)
	if err != nil {
		return nil, 0, err
	}
	if index, ok := s.links[port]; ok {
		return space, index, nil
	}
	link, err := space.socket.Link(linkName(s.owner, port))
	if err != nil {
		return nil, 0, fmt.Errorf("port %s: %w", port, err)
	}
	s.links[port] = link.Index
	return space, link.Index, nil
}

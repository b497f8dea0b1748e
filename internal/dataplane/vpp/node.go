// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// applyNode makes, alters or removes what is the node's: networks, and the link to
// VPP.
func (d *Driver) applyNode(ctx context.Context, changes []desired.Change) error {
	d.nodeMu.Lock()
	defer d.nodeMu.Unlock()
	for _, c := range changes {
		if err := d.changeNode(ctx, c); err != nil {
			return fmt.Errorf("%s %s: %w", c.Key().Kind, c.Key().Name, err)
		}
	}
	return nil
}

func (d *Driver) changeNode(ctx context.Context, c desired.Change) error {
	o := c.New
	if o == nil {
		o = c.Old
	}
	isWanted := c.New != nil
	switch o := o.(type) {
	case desired.Network:
		switch {
		case o.Name != model.DefaultNetwork && o.Name != model.StubNetwork:
			return fmt.Errorf("custom networks are not made yet")
		case !isWanted:
			return d.removeNetwork(ctx, o)
		}
		return d.makeNetwork(ctx, o)
	case desired.HostLink:
		if !isWanted {
			return d.removeHostLink(ctx, o)
		}
		return d.makeHostLink(ctx, o)
	case desired.Veth, desired.Tap, desired.Memif, desired.Neighbor, desired.Route:
	}
	return fmt.Errorf("it is not the node's")
}

// observeNode finds what of the node's objects there is.
func (d *Driver) observeNode(ctx context.Context, v *view, wanted []desired.Object, found desired.Set) error {
	for _, o := range wanted {
		switch o := o.(type) {
		case desired.Network:
			got, exists, err := d.observeNetwork(ctx, v, o)
			if err != nil {
				return fmt.Errorf("network %s: %w", o.Name, err)
			}
			if exists {
				found.Add(got)
			}
		case desired.HostLink:
			got, exists, err := d.observeHostLink(v, o)
			if err != nil {
				return fmt.Errorf("host link %s: %w", o.Name, err)
			}
			if exists {
				found.Add(got)
			}
		case desired.Veth, desired.Tap, desired.Memif, desired.Neighbor, desired.Route:
		}
	}
	return nil
}

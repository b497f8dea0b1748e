// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// changeNetwork makes, alters or removes one of the node's networks.
func (d *Driver) changeNetwork(ctx context.Context, c desired.Change) error {
	if c.New == nil {
		return d.removeNetwork(ctx, c.Key().Name)
	}
	network, ok := c.New.(desired.Network)
	if !ok {
		return fmt.Errorf("%s is not a network", c.Key())
	}
	if network.Name == model.StubNetwork {
		return d.stub.open(d.node)
	}
	if network.Name != model.DefaultNetwork {
		return errors.New("custom networks are not made yet")
	}
	d.services.SetPods(network.Pods)
	if err := d.setGateways(network.Gateways); err != nil {
		return err
	}
	failpoint.Hit("gateways")
	if err := d.host.EnableForwarding(network.Gateways); err != nil {
		return err
	}
	if err := d.host.SetTable(ctx, rules(network)); err != nil {
		return err
	}
	failpoint.Hit("ruleset")
	return nil
}

func (d *Driver) removeNetwork(ctx context.Context, name string) error {
	if name == model.StubNetwork {
		return d.stub.remove()
	}
	return errors.Join(d.setGateways(nil), d.host.RemoveTable(ctx), d.host.RestoreForwarding())
}

// setGateways makes the node answer for the gateway addresses: a local route
// per address, which unlike an address carries our mark, and is not taken for
// one of the node's own.
func (d *Driver) setGateways(gateways []netip.Addr) error {
	lo, err := d.node.socket.Link("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	existing, err := d.gateways()
	if err != nil {
		return err
	}
	var b nl.Batch
	for _, g := range gateways {
		if slices.Contains(existing, g) {
			continue
		}
		b.AddRoute(gatewayRoute(lo.Index, g)).OnError(func(err error) error {
			if errors.Is(err, unix.EEXIST) {
				return nil
			}
			return fmt.Errorf("add gateway %s: %w", g, err)
		})
	}
	for _, g := range existing {
		if slices.Contains(gateways, g) {
			continue
		}
		b.DelRoute(gatewayRoute(lo.Index, g)).OnError(func(err error) error {
			if errors.Is(err, unix.ESRCH) {
				return nil
			}
			return fmt.Errorf("remove gateway %s: %w", g, err)
		})
	}
	return d.node.socket.Do(&b)
}

func gatewayRoute(lo int, gateway netip.Addr) nl.Route {
	return nl.Route{
		Link: lo, Dst: netip.PrefixFrom(gateway, gateway.BitLen()), Table: unix.RT_TABLE_LOCAL,
		Local: true, Protocol: protocol,
	}
}

// gateways lists the gateway addresses that the node answers for, IPv4 first.
func (d *Driver) gateways() ([]netip.Addr, error) {
	routes, err := d.node.socket.Routes(protocol)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, r := range routes {
		if r.Local {
			found = append(found, r.Dst.Addr())
		}
	}
	return found, nil
}

// observeNetwork reads a network back. Where a part of it is not as wanted,
// the fields that the part stands for are left out.
func (d *Driver) observeNetwork(ctx context.Context, want desired.Network) (desired.Network, bool, error) {
	got := desired.Network{Name: want.Name}
	if want.Name == model.StubNetwork {
		exists, err := d.stub.exists(d.node)
		return got, exists, err
	}
	d.services.SetPods(want.Pods)
	found, err := d.gateways()
	if err != nil {
		return got, false, err
	}
	slices.SortFunc(found, func(a, b netip.Addr) int {
		return slices.Index(want.Gateways, a) - slices.Index(want.Gateways, b)
	})
	if d.host.Forwarding(want.Gateways) {
		got.Gateways = found
	}
	same, err := d.host.TableIs(ctx, rules(want))
	if err != nil {
		return got, false, err
	}
	if same {
		got.Pods, got.Inside, got.Masquerade = want.Pods, want.Inside, want.Masquerade
	}
	return got, same || len(found) > 0, nil
}

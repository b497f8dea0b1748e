// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Observe implements dataplane.Driver. A port is there once both its parts are, the
// kernel's and VPP's.
func (d *Driver) Observe(ctx context.Context, scope dataplane.Scope) (desired.Set, error) {
	k, err := d.vpp(ctx)
	if err != nil {
		return nil, err
	}
	v, err := d.read(ctx, k.conn)
	if err != nil {
		return nil, err
	}
	k.learn(v)
	var node, memifs, reach []desired.Object
	for _, o := range scope.Want {
		switch o := o.(type) {
		case desired.Network, desired.HostLink:
			node = append(node, o)
		case desired.Memif:
			memifs = append(memifs, o)
		case desired.Route, desired.Neighbor:
			reach = append(reach, o)
		case desired.Veth, desired.Tap:
		}
	}
	found := desired.Set{}
	if err := d.observeNode(ctx, v, node, found); err != nil {
		return nil, err
	}
	kernel, err := d.ports.Observe(ctx, dataplane.Scope{Want: portsAmong(scope.Want), Everything: scope.Everything})
	if err != nil {
		return nil, err
	}
	d.observePorts(v, kernel, scope, found)
	d.observeMemifs(v, memifs, found)
	d.observeReach(v, reach, found)
	if scope.Everything {
		d.strays(k, v, kernel, scope.Want, found)
	}
	return found, nil
}

// portsAmong are the objects that have a part in the kernel.
func portsAmong(set desired.Set) desired.Set {
	ports := desired.Set{}
	for key, o := range set {
		if key.Kind == desired.KindVeth || key.Kind == desired.KindTap {
			ports[key] = o
		}
	}
	return ports
}

// observePorts adds those of the kernel's ports that VPP has its part of.
func (d *Driver) observePorts(v *view, kernel desired.Set, scope dataplane.Scope, found desired.Set) {
	bound := d.boundLinks()
	for key, o := range kernel {
		want, isWanted := scope.Want[key]
		if !isWanted {
			continue
		}
		wantPort, _ := desired.PortOf(want)
		i := v.tags[portTag(key.Owner, key.Name)]
		if i == nil {
			continue
		}
		switch got := o.(type) {
		case desired.Veth:
			link := d.ports.PortName(key.Owner, key.Name)
			if i.host == link && bound[link] {
				got.Port = d.merge(v, i, got.Port, wantPort)
				found.Add(got)
			}
		case desired.Tap:
			if d.hasTap(i, got) {
				got.Port = d.merge(v, i, got.Port, wantPort)
				found.Add(got)
			}
		case desired.Network, desired.HostLink, desired.Memif, desired.Neighbor, desired.Route:
		}
	}
}

// hasTap reports whether an interface is VPP's part of a tap, in the way in which taps
// are made.
func (d *Driver) hasTap(i *iface, t desired.Tap) bool {
	if k, _ := d.knownNow(); k != nil && k.ownTaps {
		return i.tap != nil && i.tap.place() == endOf(t.Pod).place()
	}
	m := d.memifOfTap(t)
	return i.isMemif && i.socket == m.socket && i.id == m.id
}

// merge reports in a port what VPP's end shows. What is not as it should be is left
// out, as a driver does.
func (d *Driver) merge(v *view, i *iface, got, want desired.Port) desired.Port {
	if got.SwitchMAC == want.SwitchMAC {
		got.SwitchMAC = i.mac
	}
	if !d.isAttached(v, i, want.Network) {
		got.SwitchMAC = model.MAC{}
	}
	if i.host != "" && i.mtu != uint32(want.MTU) { //nolint:gosec // at most 65535
		got.MTU = 0
	}
	return got
}

// isAttached reports whether an interface is up, and where the network has its ports.
func (d *Driver) isAttached(v *view, i *iface, network string) bool {
	n, ok := v.networks()[network]
	if !ok || !i.up || i.lends != n.gateway {
		return false
	}
	_, conn := d.knownNow()
	if conn == nil {
		return true
	}
	for _, each := range d.steps(conn) {
		if n.table != 0 && !i.steps[each] {
			return false
		}
	}
	if d.checksSources(conn) {
		for _, g := range n.addresses {
			if !i.strict[index(familyOf(g))] {
				return false
			}
		}
	}
	return true
}

// observeMemifs finds the pods' own memifs.
func (d *Driver) observeMemifs(v *view, wanted []desired.Object, found desired.Set) {
	for _, o := range wanted {
		want, ok := o.(desired.Memif)
		i := v.tags[portTag(want.Owner, want.Pod.Name)]
		m := d.memifOf(want)
		if !ok || i == nil || !i.isMemif || i.socket != m.socket || i.id != m.id {
			continue
		}
		got := want
		got.Port = d.merge(v, i, want.Port, want.Port)
		if !isPlaced(m.socket, want.Folder) {
			got.Queues = 0
		}
		found.Add(got)
	}
}

// observeReach finds the routes and neighbours that lead to ports.
func (d *Driver) observeReach(v *view, wanted []desired.Object, found desired.Set) {
	for _, o := range wanted {
		switch o := o.(type) {
		case desired.Route:
			n := v.networks()[o.Network]
			i := v.tags[portTag(o.Owner, o.Interface)]
			if i != nil && v.routes[routeKey{n.table, o.Dst}] == podRoute(n.table, o.Dst, i.index) {
				found.Add(o)
			}
		case desired.Neighbor:
			i := v.tags[portTag(o.Owner, o.Interface)]
			if i == nil {
				continue
			}
			if mac, ok := v.nexts[nextKey{i.index, o.IP}]; ok {
				o.MAC = mac
				found.Add(o)
			}
		case desired.Network, desired.HostLink, desired.Veth, desired.Tap, desired.Memif:
		}
	}
}

// boundLinks are the names of the node's links that somebody has a socket on.
func (d *Driver) boundLinks() map[string]bool {
	names := map[string]bool{}
	bound := d.bound()
	links, _ := d.kernel.Links() // what cannot be read is taken to be none
	for _, l := range links {
		if bound[l.Index] {
			names[l.Name] = true
		}
	}
	return names
}

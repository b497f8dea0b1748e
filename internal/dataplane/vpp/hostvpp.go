// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"net/netip"
	"slices"

	"go.fd.io/govpp/binapi/ip_neighbor"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// makeHostLink makes the node's link: the kernel's pair, and VPP's end of it in the
// main table, where everything goes that is for no pod.
func (d *Driver) makeHostLink(ctx context.Context, h desired.HostLink) error {
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	if err := d.makeHostEnds(h); err != nil {
		return err
	}
	v, err := d.read(ctx, k.conn)
	if err != nil {
		return err
	}
	k.learn(v)
	i, err := d.makeHostInterface(ctx, k, v, hostPort{link: peerName(h), tag: hostLinkTag(h.Name), mac: h.SwitchMAC, mtu: h.MTU})
	if err != nil {
		return err
	}
	var b vppapi.Batch
	if i.tag == "" {
		setTag(&b, i.index, hostLinkTag(h.Name))
	}
	setMTU(&b, i, h.MTU)
	for _, a := range h.Switch {
		if !slices.Contains(i.addresses, a) {
			addAddress(&b, i.index, a)
		}
	}
	for _, a := range i.addresses {
		if !a.Addr().IsLinkLocalUnicast() && !slices.Contains(h.Switch, a) {
			takeAddress(&b, i.index, a)
		}
	}
	setUp(&b, i)
	for _, a := range h.Host {
		setNeighbor(&b, i.index, a.Addr(), h.HostMAC)
		r := defaultRoute(i.index, a.Addr())
		key := routeKey{r.table, r.dst}
		if old, ok := v.routes[key]; ok && v.isDead(old) {
			dropRoute(&b, key)
		}
		if i.mtu == 0 || v.routes[key] != r { // it is new, or has none
			setRoute(&b, r)
		}
	}
	if err := k.conn.Do(ctx, &b); err != nil {
		return err
	}
	k.put(hostLinkTag(h.Name), i.index, hostWord+peerName(h))
	return nil
}

func defaultRoute(out ifIndex, host netip.Addr) route {
	return route{table: mainTable, dst: anywhere(host), out: out, via: host}
}

// observeHostLink reads both parts back, as far as they are as wanted.
func (d *Driver) observeHostLink(v *view, want desired.HostLink) (desired.HostLink, bool, error) {
	got, exists, err := d.observeHostEnds(want)
	i := v.tags[hostLinkTag(want.Name)]
	if err != nil || !exists || i == nil || !d.isBound(peerName(want)) {
		return got, false, err
	}
	got.SwitchMAC = i.mac
	if !i.up {
		got.SwitchMAC = model.MAC{}
	}
	if i.mtu != uint32(want.MTU) { //nolint:gosec // at most 65535
		got.MTU = 0
	}
	got.Switch = slices.DeleteFunc(slices.Clone(got.Switch), func(a netip.Prefix) bool { return !slices.Contains(i.addresses, a) })
	got.Host = slices.DeleteFunc(slices.Clone(got.Host), func(a netip.Prefix) bool {
		r := defaultRoute(i.index, a.Addr())
		return v.nexts[nextKey{i.index, a.Addr()}] != want.HostMAC || v.routes[routeKey{r.table, r.dst}] != r
	})
	return got, true, nil
}

// removeHostLink takes both parts away.
func (d *Driver) removeHostLink(ctx context.Context, h desired.HostLink) error {
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	v, err := d.read(ctx, k.conn)
	if err != nil {
		return err
	}
	if i := v.tags[hostLinkTag(h.Name)]; i != nil {
		var b vppapi.Batch
		for _, r := range v.routes {
			if r.out == i.index && r.table == mainTable && r.dst.Bits() == 0 {
				takeRoute(&b, r)
			}
		}
		deleteHost(&b, i.host)
		if err := k.conn.Do(ctx, &b); err != nil {
			return err
		}
		k.forget(i.tag)
	}
	return d.removeHostEnds(h)
}

func setNeighbor(b *vppapi.Batch, i ifIndex, a netip.Addr, mac model.MAC) {
	b.Call(&ip_neighbor.IPNeighborAddDel{IsAdd: true, Neighbor: neighborOf(i, a, mac)}, &ip_neighbor.IPNeighborAddDelReply{}).
		OnErrorSay("neighbour %s", a)
}

func takeNeighbor(b *vppapi.Batch, i ifIndex, a netip.Addr, mac model.MAC) {
	b.Call(&ip_neighbor.IPNeighborAddDel{Neighbor: neighborOf(i, a, mac)}, &ip_neighbor.IPNeighborAddDelReply{}).OnError(func(err error) error {
		if isGone(err) {
			return nil
		}
		return say(err, "remove neighbour %s", a)
	})
}

func neighborOf(i ifIndex, a netip.Addr, mac model.MAC) ip_neighbor.IPNeighbor {
	return ip_neighbor.IPNeighbor{
		SwIfIndex: i, Flags: ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC, MacAddress: macOf(mac), IPAddress: addressOf(a),
	}
}

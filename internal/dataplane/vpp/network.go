// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_types"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// makeNetwork makes a network's tables, and its gateways on a loopback. What is
// there and as it should be stays.
func (d *Driver) makeNetwork(ctx context.Context, n desired.Network) error {
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	if n.Table == 0 {
		return nil // the stub network: there is nothing to make
	}
	d.config.NodeServices.SetPods(n.Pods)
	v, err := d.read(ctx, k.conn)
	if err != nil {
		return err
	}
	k.learn(v)
	if err := d.makeTables(ctx, k, v, n); err != nil {
		return err
	}
	gateway, err := d.makeGateway(ctx, k, v, n)
	if err != nil {
		return err
	}
	var b vppapi.Batch
	for _, r := range networkRoutes(n) {
		if v.routes[routeKey{r.table, r.dst}] != r {
			setRoute(&b, r)
		}
	}
	for _, g := range n.Gateways {
		if !slices.Contains(gateway.addresses, hostPrefix(g)) {
			addAddress(&b, gateway.index, hostPrefix(g))
		}
	}
	for _, a := range gateway.addresses {
		if a.IsSingleIP() && !slices.Contains(n.Gateways, a.Addr()) {
			takeAddress(&b, gateway.index, a)
		}
	}
	setUp(&b, gateway)
	if err := k.conn.Do(ctx, &b); err != nil {
		return err
	}
	if err := d.node.EnableForwarding(n.Gateways); err != nil {
		return err
	}
	if err := d.node.SetTable(ctx, rules(n)); err != nil {
		return err
	}
	return d.relearn(ctx, k)
}

// relearn reads everything again.
func (d *Driver) relearn(ctx context.Context, k *known) error {
	v, err := d.read(ctx, k.conn)
	if err == nil {
		k.learn(v)
	}
	return err
}

// makeTables makes the network's table, of each family, as the loopback is to be in
// both.
func (d *Driver) makeTables(ctx context.Context, k *known, v *view, n desired.Network) error {
	var b vppapi.Batch
	for _, is6 := range []bool{false, true} {
		key := tableKey{n.Table, is6}
		name, exists := v.tables[key]
		if exists && name != tableName {
			return fmt.Errorf("VPP's table %d is called %q: %w", n.Table, name, dataplane.ErrTaken)
		}
		if exists {
			continue
		}
		v.tables[key] = tableName
		b.Call(&ip.IPTableAddDel{IsAdd: true, Table: ip.IPTable{TableID: n.Table, IsIP6: is6, Name: tableName}}, &ip.IPTableAddDelReply{}).
			OnErrorSay("make table %d", n.Table)
	}
	return k.conn.Do(ctx, &b)
}

// gatewayMAC is the loopback's address. No frame has it, so it may be everywhere.
func gatewayMAC(network string) model.MAC {
	h := fnv.New32a()
	_, _ = h.Write([]byte(network)) // never fails
	sum := h.Sum32()
	return model.MAC{0xde, 0xad, byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}
}

// makeGateway makes the loopback of a network, in its tables. One that was made and
// not marked is known by its MAC.
func (d *Driver) makeGateway(ctx context.Context, k *known, v *view, n desired.Network) (*iface, error) {
	tag := gatewayTag(n.Name, n.Table)
	if i := v.tags[tag]; i != nil {
		return i, nil
	}
	i := &iface{mac: gatewayMAC(n.Name), tag: tag, lends: none}
	for _, old := range v.ifs {
		if old.mac == i.mac && old.tag == "" {
			i.index = old.index
		}
	}
	if i.index == 0 {
		var reply interfaces.CreateLoopbackReply
		var b vppapi.Batch
		b.Call(&interfaces.CreateLoopback{MacAddress: macOf(i.mac)}, &reply).OnErrorSay("make the gateway's loopback")
		if err := k.conn.Do(ctx, &b); err != nil {
			return nil, err
		}
		i.index = reply.SwIfIndex
	}
	var b vppapi.Batch
	for _, is6 := range families(n.Gateways) {
		setTable(&b, i.index, n.Table, is6)
	}
	setTag(&b, i.index, tag) // last: with it, it is in its tables
	if err := k.conn.Do(ctx, &b); err != nil {
		return nil, fmt.Errorf("gateway's loopback: %w", err)
	}
	k.put(tag, i.index, i.name)
	return i, nil
}

// networkRoutes are those that a network has beside its ports'. Pods find outside
// what is not theirs, and outside finds the pods; an address that no pod has is
// nowhere.
func networkRoutes(n desired.Network) []route {
	var list []route
	for _, g := range n.Gateways {
		list = append(list, route{table: n.Table, dst: anywhere(g), out: none, lookup: true, toTable: mainTable})
	}
	for _, p := range n.Pods {
		list = append(list,
			route{table: n.Table, dst: p, out: none, drop: true},
			route{table: mainTable, dst: p, out: none, lookup: true, toTable: n.Table})
	}
	return list
}

// observeNetwork reads a network back. Where a part of it is not as wanted, the
// fields that the part stands for are left out.
func (d *Driver) observeNetwork(ctx context.Context, v *view, want desired.Network) (desired.Network, bool, error) {
	got := desired.Network{Name: want.Name}
	if want.Table == 0 {
		return want, true, nil
	}
	d.config.NodeServices.SetPods(want.Pods)
	gateway := v.tags[gatewayTag(want.Name, want.Table)]
	if gateway == nil {
		return got, false, nil
	}
	if gateway.up && v.tables[tableKey{want.Table, false}] == tableName && v.tables[tableKey{want.Table, true}] == tableName {
		got.Table = want.Table
	}
	if d.node.Forwarding(want.Gateways) {
		got.Gateways = slices.DeleteFunc(slices.Clone(want.Gateways), func(g netip.Addr) bool {
			return !slices.Contains(gateway.addresses, hostPrefix(g))
		})
	}
	same, err := d.node.TableIs(ctx, rules(want))
	if err != nil {
		return got, false, err
	}
	for _, r := range networkRoutes(want) {
		same = same && v.routes[routeKey{r.table, r.dst}] == r
	}
	if same {
		got.Pods, got.Inside, got.Masquerade = want.Pods, want.Inside, want.Masquerade
	}
	return got, true, nil
}

// removeNetwork takes away what makeNetwork made. Ports of it are gone before.
func (d *Driver) removeNetwork(ctx context.Context, n desired.Network) error {
	if n.Name == model.StubNetwork {
		return nil
	}
	if err := d.node.RemoveTable(ctx); err != nil {
		return err
	}
	if err := d.node.RestoreForwarding(); err != nil {
		return err
	}
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	v, err := d.read(ctx, k.conn)
	if err != nil {
		return err
	}
	var b vppapi.Batch
	for _, r := range v.routes {
		if r.table == mainTable && r.lookup && v.isOurs(r.toTable) {
			takeRoute(&b, r)
		}
	}
	for tag, i := range v.tags {
		if name, _, ok := parseGatewayTag(tag); !ok || name != n.Name {
			continue
		}
		b.Call(&interfaces.DeleteLoopback{SwIfIndex: i.index}, &interfaces.DeleteLoopbackReply{}).OnErrorSay("remove the gateway's loopback")
		k.forget(i.tag)
	}
	for t, name := range v.tables {
		if name == tableName && t.id != mainTable {
			b.Call(&ip.IPTableAddDel{Table: ip.IPTable{TableID: t.id, IsIP6: t.is6}}, &ip.IPTableAddDelReply{}).OnErrorSay("remove table %d", t.id)
		}
	}
	if err := k.conn.Do(ctx, &b); err != nil {
		return err
	}
	return d.relearn(ctx, k)
}

// isOurs reports whether a table is.
func (v *view) isOurs(table uint32) bool { return v.tables[tableKey{table, false}] == tableName }

func setTag(b *vppapi.Batch, i ifIndex, tag string) {
	b.Call(&interfaces.SwInterfaceTagAddDel{IsAdd: true, SwIfIndex: i, Tag: tag}, &interfaces.SwInterfaceTagAddDelReply{}).
		OnErrorSay("set the tag")
}

func setTable(b *vppapi.Batch, i ifIndex, table uint32, is6 bool) {
	b.Call(&interfaces.SwInterfaceSetTable{SwIfIndex: i, IsIPv6: is6, VrfID: table}, &interfaces.SwInterfaceSetTableReply{}).
		OnErrorSay("put into table %d", table)
}

func setUp(b *vppapi.Batch, i *iface) {
	if !i.up {
		b.Call(&interfaces.SwInterfaceSetFlags{SwIfIndex: i.index, Flags: interface_types.IF_STATUS_API_FLAG_ADMIN_UP}, &interfaces.SwInterfaceSetFlagsReply{}).
			OnErrorSay("bring up")
	}
}

func addAddress(b *vppapi.Batch, i ifIndex, a netip.Prefix) {
	b.Call(&interfaces.SwInterfaceAddDelAddress{SwIfIndex: i, IsAdd: true, Prefix: ip_types.AddressWithPrefix(prefixOf(a))},
		&interfaces.SwInterfaceAddDelAddressReply{}).OnErrorSay("add address %s", a)
}

func takeAddress(b *vppapi.Batch, i ifIndex, a netip.Prefix) {
	b.Call(&interfaces.SwInterfaceAddDelAddress{SwIfIndex: i, Prefix: ip_types.AddressWithPrefix(prefixOf(a))},
		&interfaces.SwInterfaceAddDelAddressReply{}).OnErrorSay("remove address %s", a)
}

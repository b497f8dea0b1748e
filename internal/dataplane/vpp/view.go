// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"net/netip"
	"strings"

	"go.fd.io/govpp/binapi/af_packet"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_neighbor"
	"go.fd.io/govpp/binapi/ip_types"
	"go.fd.io/govpp/binapi/memif"
	"go.fd.io/govpp/binapi/tapv2"
	"go.fd.io/govpp/binapi/urpf"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/model"
)

// view is what VPP has, read at once.
type view struct {
	ifs     map[ifIndex]*iface
	tags    map[string]*iface
	sockets map[string]uint32 // of memifs, by the file's name
	tables  map[tableKey]string
	routes  map[routeKey]route
	nexts   map[nextKey]model.MAC // permanent neighbours
}

type tableKey struct {
	id  uint32
	is6 bool
}

type routeKey struct {
	table uint32
	dst   netip.Prefix
}

type nextKey struct {
	out ifIndex
	ip  netip.Addr
}

// network is one that ports can be in.
type network struct {
	table   uint32 // 0 for one that attaches nothing
	gateway ifIndex
	// addresses are the gateways'.
	addresses []netip.Addr
}

// networks finds those that VPP has; the stub network is always there.
func (v *view) networks() map[string]network {
	found := map[string]network{model.StubNetwork: {gateway: none}}
	for tag, i := range v.tags {
		name, table, ok := parseGatewayTag(tag)
		if !ok {
			continue
		}
		n := network{table: table, gateway: i.index}
		for _, a := range i.addresses {
			if !a.Addr().IsLinkLocalUnicast() {
				n.addresses = append(n.addresses, a.Addr())
			}
		}
		found[name] = n
	}
	return found
}

// iface is one interface.
type iface struct {
	index     ifIndex
	name, tag string
	dev       string // what it is of, as VPP says it
	mac       model.MAC
	mtu       uint32
	up        bool
	polls     bool // VPP looks for packets, and is not told of them; of a new one
	// host is the kernel's link of a host-interface.
	host string
	// socket, id and linked are a memif's: its socket's file, its number on that, and
	// whether somebody is connected. Of its rings VPP tells what is in use alone.
	isMemif bool
	socket  string
	id      uint32
	linked  bool
	// tap is where a tap of VPP's own is.
	tap *tapEnd
	// lends is the interface whose addresses it uses.
	lends     ifIndex
	addresses []netip.Prefix
	strict    [2]bool // sources are checked; IPv4, IPv6
	steps     map[step]bool
}

// memifDev is what VPP says of a memif.
const memifDev = "memif"

// readInterfaces reads what interfaces there are and what they are of.
func readInterfaces(ctx context.Context, conn *vppapi.Conn) (*view, error) {
	v := &view{ifs: map[ifIndex]*iface{}, tags: map[string]*iface{}, sockets: map[string]uint32{}}
	files := map[uint32]string{}
	var memifs []*memif.MemifDetails
	var hosts []*af_packet.AfPacketDetails
	var b vppapi.Batch
	vppapi.Dump(&b, &interfaces.SwInterfaceDump{SwIfIndex: none}, v.addInterface)
	vppapi.Dump(&b, &memif.MemifSocketFilenameDump{}, func(m *memif.MemifSocketFilenameDetails) {
		files[m.SocketID] = text(m.SocketFilename)
		v.sockets[text(m.SocketFilename)] = m.SocketID
	})
	vppapi.Dump(&b, &memif.MemifDump{}, func(m *memif.MemifDetails) { memifs = append(memifs, m) })
	vppapi.Dump(&b, &af_packet.AfPacketDump{}, func(m *af_packet.AfPacketDetails) { hosts = append(hosts, m) })
	var taps []*tapv2.SwInterfaceTapV2Details
	if conn.Has(&tapv2.SwInterfaceTapV2Dump{}) && conn.Has(&tapv2.SwInterfaceTapV2Details{}) {
		vppapi.Dump(&b, &tapv2.SwInterfaceTapV2Dump{SwIfIndex: none}, func(m *tapv2.SwInterfaceTapV2Details) { taps = append(taps, m) })
	}
	if err := conn.Do(ctx, &b); err != nil {
		return nil, err
	}
	for _, m := range taps {
		if i := v.ifs[ifIndex(m.SwIfIndex)]; i != nil {
			i.tap = &tapEnd{id: m.ID, netns: text(m.HostNamespace), name: text(m.HostIfName)}
		}
	}
	for _, m := range memifs {
		if i := v.ifs[m.SwIfIndex]; i != nil {
			i.isMemif, i.socket, i.id = true, files[m.SocketID], m.ID
			i.linked = m.Flags&interface_types.IF_STATUS_API_FLAG_LINK_UP != 0
		}
	}
	for _, m := range hosts {
		if i := v.ifs[m.SwIfIndex]; i != nil {
			i.host = text(m.HostIfName)
		}
	}
	return v, nil
}

func (v *view) addInterface(m *interfaces.SwInterfaceDetails) {
	i := &iface{
		index: m.SwIfIndex, name: text(m.InterfaceName), tag: text(m.Tag), dev: text(m.InterfaceDevType), mac: model.MAC(m.L2Address), mtu: m.Mtu[0],
		up: m.Flags&interface_types.IF_STATUS_API_FLAG_ADMIN_UP != 0, lends: none,
	}
	v.ifs[i.index] = i
	if i.tag != "" {
		v.tags[i.tag] = i
	}
}

// read reads everything that we make.
func (d *Driver) read(ctx context.Context, conn *vppapi.Conn) (*view, error) {
	v, err := readInterfaces(ctx, conn)
	if err != nil {
		return nil, err
	}
	v.tables, v.routes, v.nexts = map[tableKey]string{}, map[routeKey]route{}, map[nextKey]model.MAC{}
	var b vppapi.Batch
	vppapi.Dump(&b, &ip.IPTableDump{}, func(m *ip.IPTableDetails) {
		v.tables[tableKey{m.Table.TableID, m.Table.IsIP6}] = text(m.Table.Name)
	})
	vppapi.Dump(&b, &ip.IPUnnumberedDump{SwIfIndex: none}, func(m *ip.IPUnnumberedDetails) {
		if i := v.ifs[m.SwIfIndex]; i != nil {
			i.lends = m.IPSwIfIndex
		}
	})
	for _, i := range v.ifs {
		if strings.HasPrefix(i.tag, nodeWord) {
			i.askAddresses(&b)
		}
	}
	for _, af := range []ip_types.AddressFamily{ip_types.ADDRESS_IP4, ip_types.ADDRESS_IP6} {
		vppapi.Dump(&b, &ip_neighbor.IPNeighborDump{SwIfIndex: none, Af: af}, v.addNeighbor)
	}
	if d.checksSources(conn) {
		vppapi.Dump(&b, &urpf.UrpfInterfaceDump{SwIfIndex: none}, v.addCheck)
	}
	var takes []func()
	steps := d.steps(conn)
	for tag, i := range v.tags {
		if len(steps) > 0 && strings.HasPrefix(tag, portWord) {
			takes = append(takes, i.askSteps(&b, steps))
		}
	}
	if err := conn.Do(ctx, &b); err != nil {
		return nil, err
	}
	for _, take := range takes {
		take()
	}
	return v, v.readRoutes(ctx, conn)
}

func (v *view) memifs() int {
	n := 0
	for _, i := range v.ifs {
		if i.isMemif {
			n++
		}
	}
	return n
}

// isDead reports whether a route leads to an interface that is gone.
func (v *view) isDead(r route) bool { return r.out != none && v.ifs[r.out] == nil }

// apiSource is whose routes are that come over the API (FIB_SOURCE_API in
// vnet/fib/fib_source.h). VPP has others beside, such as for each neighbour.
const apiSource = 8

// readRoutes reads the main table and those of ours.
func (v *view) readRoutes(ctx context.Context, conn *vppapi.Conn) error {
	var b vppapi.Batch
	for t, name := range v.tables {
		if t.id != mainTable && name != tableName {
			continue
		}
		vppapi.Dump(&b, &ip.IPRouteV2Dump{Src: apiSource, Table: ip.IPTable{TableID: t.id, IsIP6: t.is6}}, func(m *ip.IPRouteV2Details) {
			if r, ok := readRoute(m.Route); ok {
				v.routes[routeKey{r.table, r.dst}] = r
			}
		})
	}
	return conn.Do(ctx, &b)
}

func (i *iface) askAddresses(b *vppapi.Batch) {
	for _, is6 := range []bool{false, true} {
		vppapi.Dump(b, &ip.IPAddressDump{SwIfIndex: i.index, IsIPv6: is6}, func(m *ip.IPAddressDetails) {
			i.addresses = append(i.addresses, fromPrefix(ip_types.Prefix(m.Prefix)))
		})
	}
}

func (v *view) addNeighbor(m *ip_neighbor.IPNeighborDetails) {
	n := m.Neighbor
	if n.Flags&ip_neighbor.IP_API_NEIGHBOR_FLAG_STATIC != 0 {
		v.nexts[nextKey{n.SwIfIndex, fromAddress(n.IPAddress)}] = model.MAC(n.MacAddress)
	}
}

func (v *view) addCheck(m *urpf.UrpfInterfaceDetails) {
	if i := v.ifs[m.SwIfIndex]; i != nil && m.IsInput && m.Mode == urpf.URPF_API_MODE_STRICT {
		i.strict[index(m.Af)] = true
	}
}

// index counts the families.
func index(af ip_types.AddressFamily) int {
	if af == ip_types.ADDRESS_IP4 {
		return 0
	}
	return 1
}

// text cuts a string of fixed size at its end.
func text(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// readInterface reads one interface; nil where there is none.
func readInterface(ctx context.Context, conn *vppapi.Conn, index ifIndex) (*iface, error) {
	v := &view{ifs: map[ifIndex]*iface{}, tags: map[string]*iface{}}
	var b vppapi.Batch
	vppapi.Dump(&b, &interfaces.SwInterfaceDump{SwIfIndex: index}, v.addInterface)
	if err := conn.Do(ctx, &b); err != nil {
		return nil, err
	}
	return v.ifs[index], nil
}

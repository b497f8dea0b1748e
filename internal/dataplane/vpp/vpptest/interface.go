// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/ethernet_types"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// none is VPP's word for no index at all (~0).
const none = ^uint32(0)

// ok is the retval of what was done.
const ok = api.VPPApiError(0)

// family tells IPv4 (0) and IPv6 (1) apart; it is an index.
type family int

const (
	v4 family = iota
	v6
	families
)

// familyOf is the family of an address.
func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

// familyIf is the family by VPP's is_ip6.
func familyIf(isIPv6 bool) family { //nolint:revive // the flag is VPP's
	if isIPv6 {
		return v6
	}
	return v4
}

// world is what VPP has in memory. Server.mu guards it.
type world struct {
	version string
	folder  string // that paths of memif sockets are relative to
	inside  *netns.Handle
	vhost   bool

	interfaces map[uint32]*iface
	free       []uint32 // indexes that were given back; VPP takes the last first
	loops      map[uint32]bool
	taps       map[uint32]bool
	sockets    map[uint32]*memifSocket
	tables     map[tableKey]*table
	neighbors  map[neighborKey]neighbor
	checks     map[checkKey]check

	asking *client // whose request is served
	events map[uint32]interfaces.SwInterfaceEvent

	services services
}

// iface is a software interface.
type iface struct {
	index     uint32
	name, dev string // dev is the name of its device class
	tag       string
	mac       ethernet_types.MacAddress
	admin     bool
	link      bool
	linkMTU   uint16
	mtu       [4]uint32 // L3, IPv4, IPv6, MPLS
	tables    [families]uint32
	addresses []netip.Prefix
	lender    uint32 // whose addresses it has, if it is unnumbered; else none

	isIPv6 bool    // it has a link-local address, asked for by itself
	loop   *uint32 // instance of a loopback
	host   string  // link of a host-interface
	// packets is the socket of a host-interface.
	packets int
	memif   *memifIface
	tap     *tapIface
}

// VPP's default of an Ethernet's MTU (ethernet_main.default_mtu).
const defaultMTU = 9000

func newWorld(c Config, folder string) *world {
	w := &world{
		version: c.Version, folder: folder, inside: c.Inside, vhost: c.VhostNet,
		interfaces: map[uint32]*iface{}, loops: map[uint32]bool{}, taps: map[uint32]bool{},
		sockets: map[uint32]*memifSocket{}, tables: map[tableKey]*table{},
		neighbors: map[neighborKey]neighbor{}, checks: map[checkKey]check{},
		events: map[uint32]interfaces.SwInterfaceEvent{}, services: newServices(),
	}
	w.interfaces[0] = &iface{name: "local0", dev: "local", lender: none, packets: noSocket}
	w.sockets[0] = &memifSocket{path: filepath.Join(folder, "memif.sock")}
	for f := range families {
		w.tables[tableKey{f, 0}] = &table{name: tableName(f, 0), api: true, routes: map[netip.Prefix]route{}}
	}
	return w
}

// close lets go of what it holds in the kernel.
func (w *world) close() {
	for _, s := range w.sockets {
		s.close()
	}
	for _, i := range w.interfaces {
		i.close()
	}
}

func (i *iface) close() {
	if i.packets != noSocket {
		_ = unix.Close(i.packets)
	}
	if i.tap != nil {
		i.tap.device.close()
	}
}

// create makes an interface.
func (w *world) create(name, dev string, mac ethernet_types.MacAddress) *iface {
	index := uint32(len(w.interfaces))
	if n := len(w.free); n > 0 {
		index, w.free = w.free[n-1], w.free[:n-1]
	}
	i := &iface{
		index: index, name: name, dev: dev, mac: mac,
		linkMTU: defaultMTU, mtu: [4]uint32{defaultMTU}, lender: none, packets: noSocket,
	}
	w.interfaces[index] = i
	w.changed(i)
	return i
}

// remove removes an interface with what VPP removes with it: its addresses, its
// neighbours and its part in tables. Routes through it stay, and lead nowhere.
func (w *world) remove(i *iface) {
	i.admin, i.link = false, false
	i.close()
	w.forgetNeighbors(i.index)
	w.forgetServices(i.index)
	delete(w.interfaces, i.index)
	w.free = append(w.free, i.index)
	w.dropTables()
	e := interfaces.SwInterfaceEvent{SwIfIndex: interface_types.InterfaceIndex(i.index), Deleted: true}
	w.events[i.index] = e
}

// changed notes an event about an interface.
func (w *world) changed(i *iface) {
	w.events[i.index] = interfaces.SwInterfaceEvent{SwIfIndex: interface_types.InterfaceIndex(i.index), Flags: i.flags()}
}

func (w *world) takeEvents() []interfaces.SwInterfaceEvent {
	var all []interfaces.SwInterfaceEvent
	for _, index := range slices.Sorted(maps.Keys(w.events)) {
		all = append(all, w.events[index])
	}
	clear(w.events)
	return all
}

// sorted are the interfaces by index.
func (w *world) sorted() []*iface {
	var all []*iface
	for _, index := range slices.Sorted(maps.Keys(w.interfaces)) {
		all = append(all, w.interfaces[index])
	}
	return all
}

func (i *iface) flags() interface_types.IfStatusFlags {
	var flags interface_types.IfStatusFlags
	if i.admin {
		flags |= interface_types.IF_STATUS_API_FLAG_ADMIN_UP
	}
	if i.link {
		flags |= interface_types.IF_STATUS_API_FLAG_LINK_UP
	}
	return flags
}

func (w *world) dumpInterfaces(q *interfaces.SwInterfaceDump) []interfaces.SwInterfaceDetails {
	var all []interfaces.SwInterfaceDetails
	one := uint32(q.SwIfIndex)
	for _, i := range w.sorted() {
		switch {
		case !q.NameFilterValid && one != none && one != 0:
			if i.index != one {
				continue
			}
		case q.NameFilterValid && !strings.Contains(strings.ToLower(i.name), strings.ToLower(q.NameFilter)):
			continue
		}
		all = append(all, interfaces.SwInterfaceDetails{
			SwIfIndex: interface_types.InterfaceIndex(i.index), SupSwIfIndex: i.index, L2Address: i.mac,
			Flags: i.flags(), LinkMtu: i.linkMTU, Mtu: i.mtu[:],
			InterfaceName: i.name, InterfaceDevType: i.dev, Tag: i.tag,
		})
	}
	return all
}

func (w *world) setTag(q *interfaces.SwInterfaceTagAddDel) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case q.IsAdd && q.Tag == "":
		return api.INVALID_VALUE
	case q.IsAdd:
		i.tag = q.Tag[:min(len(q.Tag), 63)]
	default:
		i.tag = ""
	}
	return ok
}

func (w *world) setFlags(q *interfaces.SwInterfaceSetFlags) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known {
		return api.INVALID_SW_IF_INDEX
	}
	up := q.Flags&interface_types.IF_STATUS_API_FLAG_ADMIN_UP != 0
	if up == i.admin {
		return ok
	}
	i.admin = up
	// The link of a memif follows its application; that of the others the switch.
	i.link = up && (i.memif == nil || i.memif.connected) && i.index != 0
	if !up {
		w.forgetNeighbors(i.index)
	}
	w.changed(i)
	return ok
}

func (w *world) setMTU(q *interfaces.SwInterfaceSetMtu) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known {
		return api.INVALID_SW_IF_INDEX
	}
	copy(i.mtu[:], q.Mtu)
	return ok
}

func (w *world) setLinkMTU(q *interfaces.HwInterfaceSetMtu) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case i.index == 0:
		return api.FEATURE_DISABLED
	case i.linkMTU == q.Mtu:
		return ok
	case i.loop != nil:
		return api.UNSUPPORTED
	}
	i.linkMTU, i.mtu[0] = q.Mtu, uint32(q.Mtu)
	return ok
}

func (w *world) setMAC(q *interfaces.SwInterfaceSetMacAddress) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case i.index == 0:
		return api.UNIMPLEMENTED
	}
	i.mac = q.MacAddress
	return ok
}

func (w *world) getMAC(q *interfaces.SwInterfaceGetMacAddress, r *interfaces.SwInterfaceGetMacAddressReply) {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known {
		r.Retval = int32(api.INVALID_SW_IF_INDEX)
		return
	}
	r.MacAddress = i.mac
}

func (w *world) setRxMode(q *interfaces.SwInterfaceSetRxMode) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case q.QueueIDValid && (i.host == "" || q.QueueID > 0): // the others have no queue yet
		return api.UNIMPLEMENTED
	}
	return ok
}

func (w *world) wantEvents(q *interfaces.WantInterfaceEvents) api.VPPApiError {
	if enabled := w.asking.events != nil; enabled == (q.EnableDisable != 0) {
		return api.INVALID_REGISTRATION
	}
	w.asking.events = nil
	if q.EnableDisable != 0 {
		w.asking.events = &q.PID
	}
	return ok
}

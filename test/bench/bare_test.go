// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// bare makes what an ADD makes by the requests that the kernel needs for it,
// one after another: links with MAC, MTU, group and mark, addresses, routes,
// rules and permanent neighbours. Nothing is looked at beforehand, compared,
// written down, or asked of another process.
type bare struct {
	t    *testing.T
	node *netns.Handle
	nl   *nl.Handle
	taps []int // open files
	made int
}

const (
	bareMTU   = 1450
	bareGroup = 0x4242
	bareTable = 1001
)

func newBare(t *testing.T) *bare {
	t.Helper()
	b := &bare{t: t, node: space(t, freshName("bare"))}
	var err error
	if b.nl, err = nl.Open(b.node); err != nil {
		t.Fatal(err)
	}
	run(t, b.node, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	run(t, b.node, "ip", "route", "add", "local", gateway, "dev", "lo", "table", "local")
	t.Cleanup(func() {
		for _, fd := range b.taps {
			_ = unix.Close(fd)
		}
		b.nl.Close()
	})
	return b
}

// end is one interface of the pod while it is made.
type end struct {
	index   int // 0 is eth0
	name    string
	twin    string // in the node
	address netip.Addr
}

func (b *bare) ends() []end {
	var all []end
	for i, name := range []string{"eth0", "tap1", "tap2", "veth1", "veth2"} {
		b.made++
		all = append(all, end{
			index: i, name: name, twin: fmt.Sprintf("%s-%d", name, b.made),
			address: netip.AddrFrom4([4]byte{10, 1, 128 | byte(b.made>>8), byte(b.made)}),
		})
	}
	return all
}

// add makes a pod.
func (b *bare) add(pod *netns.Handle) error {
	inPod, err := nl.Open(pod)
	if err != nil {
		return err
	}
	defer inPod.Close()
	ends := b.ends()
	taps := []end{ends[1], ends[2]}
	if err := errors.Join(
		pod.Do(func() error { return b.tapFiles(taps[0].name, taps[1].name) }),
		b.node.Do(func() error { return b.tapFiles(taps[0].twin, taps[1].twin) }),
	); err != nil {
		return err
	}
	for i, e := range ends {
		var index int
		if i == 1 || i == 2 {
			index, err = b.tap(inPod, e)
		} else {
			index, err = b.veth(inPod, pod, e)
		}
		if err == nil {
			err = b.reach(e, index)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// veth makes a pair, its peer born in the pod, and gives the index of the end
// in the node. LinkAdd looks for the index of what it made, once.
func (b *bare) veth(inPod *nl.Handle, pod *netns.Handle, e end) (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Group = e.twin, bareMTU, bareGroup
	attrs.HardwareAddr = hardware(0x02, e)
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1 // of the peer too, as ours
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: e.name, PeerHardwareAddr: hardware(0x06, e),
		PeerNamespace: netlink.NsFd(pod.FD()), PeerMTU: bareMTU, PeerTxQLen: -1,
	}
	if err := b.nl.LinkAdd(veth); err != nil {
		return 0, err
	}
	if err := b.nodeEnd(veth, e); err != nil {
		return 0, err
	}
	link, err := inPod.LinkByName(e.name)
	if err != nil {
		return 0, err
	}
	if err := podEnd(inPod, link, e); err != nil {
		return 0, err
	}
	// Asking for the link makes the kernel's link watch see to it at once;
	// without this the first packets are dropped.
	_, err = b.nl.LinkByIndex(veth.Index)
	return veth.Index, err
}

func (b *bare) tap(inPod *nl.Handle, e end) (int, error) {
	twin, err := b.nl.LinkByName(e.twin)
	if err != nil {
		return 0, err
	}
	link, err := inPod.LinkByName(e.name)
	if err != nil {
		return 0, err
	}
	return twin.Attrs().Index, errors.Join(
		b.nl.LinkSetGroup(twin, bareGroup),
		b.nl.LinkSetHardwareAddr(twin, hardware(0x02, e)),
		b.nl.LinkSetMTU(twin, bareMTU),
		b.nodeEnd(twin, e),
		inPod.LinkSetHardwareAddr(link, hardware(0x06, e)),
		inPod.LinkSetMTU(link, bareMTU),
		podEnd(inPod, link, e),
	)
}

func (b *bare) nodeEnd(link netlink.Link, e end) error {
	const addrGenNone = 1 // IN6_ADDR_GEN_MODE_NONE
	return errors.Join(
		b.nl.LinkSetAlias(link, "bare "+e.twin),
		b.nl.LinkSetIP6AddrGenMode(link, addrGenNone),
		b.nl.LinkSetUp(link),
	)
}

func podEnd(inPod *nl.Handle, link netlink.Link, e end) error {
	index := link.Attrs().Index
	table := unix.RT_TABLE_MAIN
	if e.index > 0 {
		table = bareTable + e.index
	}
	errs := []error{
		inPod.LinkSetUp(link),
		inPod.AddrAdd(link, &netlink.Addr{IPNet: host(e.address)}),
		inPod.NeighSet(neighbor(index, gatewayAddr(), hardware(0x02, e))),
		inPod.RouteAdd(&netlink.Route{LinkIndex: index, Table: table, Dst: host(gatewayAddr()), Scope: netlink.SCOPE_LINK}),
		inPod.RouteAdd(&netlink.Route{LinkIndex: index, Table: table, Gw: gatewayAddr().AsSlice()}),
	}
	if e.index > 0 {
		from, by := netlink.NewRule(), netlink.NewRule()
		from.Priority, from.Table, from.Src = table, table, host(e.address)
		by.Priority, by.Table, by.OifName = table, table, e.name
		errs = append(errs, inPod.RuleAdd(from), inPod.RuleAdd(by))
	}
	return errors.Join(errs...)
}

// reach leads the node's traffic to the pod.
func (b *bare) reach(e end, index int) error {
	return errors.Join(
		b.nl.NeighSet(neighbor(index, e.address, hardware(0x06, e))),
		b.nl.RouteAdd(&netlink.Route{LinkIndex: index, Dst: host(e.address), Scope: netlink.SCOPE_LINK}),
	)
}

// tapFiles makes persistent taps in the namespace that the thread is in.
func (b *bare) tapFiles(names ...string) error {
	for _, name := range names {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		b.taps = append(b.taps, fd)
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = errors.Join(
			unix.IoctlIfreq(fd, unix.TUNSETIFF, request),
			unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, 10),
			unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6),
			unix.IoctlSetInt(fd, unix.TUNSETOWNER, 0),
			unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1),
		)
		if err != nil {
			return fmt.Errorf("tap %s: %w", name, err)
		}
	}
	return nil
}

func gatewayAddr() netip.Addr { return netip.MustParseAddr(gateway) }

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func hardware(first byte, e end) net.HardwareAddr {
	four := e.address.As4()
	return net.HardwareAddr{first, 0x42, four[0], four[1], four[2], four[3]}
}

func neighbor(link int, ip netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: link, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac,
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
)

// podEnd brings the pod's side of a port to what the plan says. Each step is
// harmless where the kernel has it already; what the plan does not list is
// left alone.
type podEnd struct {
	pod  *pod
	link netlink.Link
	end  desired.PodEnd
	mtu  int
}

// podEnd configures a port's end in the pod.
func (s *session) podEnd(pod *pod, link netlink.Link, p desired.Port) error {
	s.driver.keepEnd(p.Pod)
	if err := (podEnd{pod: pod, link: link, end: p.Pod, mtu: p.MTU}).configure(); err != nil {
		return err
	}
	s.driver.index.setLink(linkKey{pod.nsid, link.Attrs().Index}, linkMark{s.owner, p.Pod.MAC, p.MTU})
	return nil
}

func (e podEnd) configure() error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"pod-link", e.setLink},
		{"pod-addresses", e.setAddresses},
		{"pod-neighbors", e.setNeighbors},
		{"pod-routes", e.setRoutes},
		{"pod-rules", e.setRules},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return err
		}
		failpoint.Hit(step.name)
	}
	return nil
}

func (e podEnd) setLink() error {
	attrs := e.link.Attrs()
	if attrs.HardwareAddr.String() != e.end.MAC.String() {
		if err := e.pod.nl.LinkSetHardwareAddr(e.link, net.HardwareAddr(e.end.MAC[:])); err != nil {
			return fmt.Errorf("set MAC %s: %w", e.end.MAC, err)
		}
	}
	if attrs.MTU != e.mtu {
		if err := e.pod.nl.LinkSetMTU(e.link, e.mtu); err != nil {
			return fmt.Errorf("set MTU %d: %w", e.mtu, err)
		}
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := e.pod.nl.LinkSetUp(e.link); err != nil {
			return fmt.Errorf("bring up: %w", err)
		}
	}
	return nil
}

func (e podEnd) setAddresses() error {
	for _, prefix := range e.end.Addresses {
		address := &netlink.Addr{IPNet: ipNet(prefix)}
		if prefix.Addr().Is6() {
			address.Flags = unix.IFA_F_NODAD // nobody else can have it: nothing waits
		}
		err := e.pod.nl.AddrReplace(e.link, address)
		if prefix.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
			// The runtime made the namespace with IPv6 switched off.
			if err = e.enableIPv6(); err == nil {
				err = e.pod.nl.AddrReplace(e.link, address)
			}
		}
		if err == nil && prefix.Addr().Is6() {
			err = e.setLocal(prefix)
		}
		if err != nil {
			return fmt.Errorf("add address %s: %w", prefix, err)
		}
	}
	return nil
}

// setLocal makes the pod take packets for an IPv6 address at once. The kernel
// adds this route by itself, but from a work queue, also when there is no
// duplicate address detection to wait for (addrconf_dad_start): the first
// packets after ADD would be lost.
func (e podEnd) setLocal(address netip.Prefix) error {
	return e.pod.nl.RouteReplace(&netlink.Route{
		LinkIndex: e.link.Attrs().Index, Dst: ipNet(address), Family: netlink.FAMILY_V6,
		Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Protocol: protocol,
	})
}

// enableIPv6 switches IPv6 on for this interface alone.
func (e podEnd) enableIPv6() error {
	return e.pod.ns.Do(func() error {
		path := filepath.Join("/proc/sys/net/ipv6/conf", e.end.Name, "disable_ipv6")
		if err := os.WriteFile(path, []byte("0"), 0o644); err != nil {
			return fmt.Errorf("enable IPv6: %w", err)
		}
		return nil
	})
}

func (e podEnd) setNeighbors() error {
	for _, n := range e.end.Neighbors {
		err := e.pod.nl.NeighSet(&netlink.Neigh{
			LinkIndex: e.link.Attrs().Index, Family: family(n.IP), State: netlink.NUD_PERMANENT,
			IP: n.IP.AsSlice(), HardwareAddr: net.HardwareAddr(n.MAC[:]),
		})
		if err != nil {
			return fmt.Errorf("set neighbour %s: %w", n.IP, err)
		}
	}
	return nil
}

func (e podEnd) setRoutes() error {
	for _, r := range e.end.Routes {
		route := &netlink.Route{
			LinkIndex: e.link.Attrs().Index, Table: r.Table, Dst: ipNet(r.Dst),
			Protocol: protocol, Family: family(r.Dst.Addr()),
		}
		if r.Via.IsValid() {
			route.Gw = r.Via.AsSlice()
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
		if err := e.pod.nl.RouteReplace(route); err != nil {
			return fmt.Errorf("set %s: %w", r, err)
		}
	}
	return nil
}

func (e podEnd) setRules() error {
	for _, r := range e.end.Rules {
		if err := e.pod.nl.RuleAdd(e.rule(r)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("set %s: %w", r, err)
		}
	}
	return nil
}

func (e podEnd) rule(r desired.PodRule) *netlink.Rule {
	rule := netlink.NewRule()
	rule.Priority = r.Priority
	rule.Table = r.Table
	rule.Protocol = protocol
	rule.Family = netlink.FAMILY_V4
	if r.IPv6 {
		rule.Family = netlink.FAMILY_V6
	}
	if r.From.IsValid() {
		rule.Src = ipNet(r.From)
	} else {
		rule.OifName = e.end.Name
	}
	return rule
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// podView is one pod's namespace, read once.
type podView struct {
	links  map[string]netlink.Link
	addrs  []netlink.Addr
	routes []netlink.Route
	rules  []netlink.Rule
	neighs []netlink.Neigh
}

// observePod reads the ports whose pod ends are in one namespace. One that is
// gone has none.
func (d *Driver) observePod(v *view, id model.Netns, ports []desired.Object) (desired.Set, error) {
	found := desired.Set{}
	s := &session{driver: d, owner: ports[0].Key().Owner, pods: map[model.Netns]*pod{}}
	defer s.close()
	pod, err := s.pod(id)
	if errors.Is(err, dataplane.ErrNetnsGone) {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("%s: %w", ports[0].Key().Owner, err)
	}
	pv, err := readPod(pod)
	if err != nil {
		return found, fmt.Errorf("%s: %w", ports[0].Key().Owner, err)
	}
	for _, o := range ports {
		want, _ := desired.PortOf(o)
		got, switchEnd := v.port(want)
		if switchEnd == nil {
			continue
		}
		link := pv.links[want.Pod.Name]
		if link == nil {
			continue // made anew; what is left of it is found under its name
		}
		d.mark(v, pod, want, switchEnd.Index, link.Attrs().Index)
		got.Pod = pv.end(link, want.Pod)
		if link.Attrs().MTU != got.MTU {
			got.MTU = 0 // the ends differ
		}
		switch o.(type) {
		case desired.Veth:
			if link.Type() == "veth" && link.Attrs().ParentIndex == switchEnd.Index {
				found.Add(desired.Veth{Port: got})
			}
		case desired.Tap:
			if link.Type() == "tuntap" {
				found.Add(desired.Tap{Port: got, Queues: v.queues(want)})
			}
		case desired.Network, desired.Route, desired.Neighbor:
		}
	}
	return found, nil
}

// mark notes both ends of a port for the watch.
func (d *Driver) mark(v *view, pod *pod, p desired.Port, switchEnd, podEnd int) {
	d.index.expect(p.Owner, []string{linkName(p.Owner, p.Pod.Name)})
	d.index.setLink(linkKey{v.spaces[p.Network].nsid, switchEnd}, linkMark{p.Owner, p.SwitchMAC, p.MTU})
	d.index.setLink(linkKey{pod.nsid, podEnd}, linkMark{p.Owner, p.Pod.MAC, p.MTU})
}

func readPod(p *pod) (*podView, error) {
	pv := &podView{links: map[string]netlink.Link{}}
	links, err := p.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the pod's links: %w", err)
	}
	for _, l := range links {
		pv.links[l.Attrs().Name] = l
	}
	if pv.addrs, err = p.nl.AddrList(); err != nil {
		return nil, fmt.Errorf("list the pod's addresses: %w", err)
	}
	if pv.routes, err = p.nl.RouteList(protocol); err != nil {
		return nil, fmt.Errorf("list the pod's routes: %w", err)
	}
	if pv.rules, err = p.nl.RuleList(protocol); err != nil {
		return nil, fmt.Errorf("list the pod's rules: %w", err)
	}
	if pv.neighs, err = p.nl.NeighList(); err != nil {
		return nil, fmt.Errorf("list the pod's neighbours: %w", err)
	}
	return pv, nil
}

// end reads the pod's end as far as it is ours: of what is wanted, what there
// is. Addresses, routes and the like that somebody added beside are theirs.
func (pv *podView) end(link netlink.Link, want desired.PodEnd) desired.PodEnd {
	index := link.Attrs().Index
	got := desired.PodEnd{
		Netns: want.Netns, Name: want.Name, MAC: macOf(link.Attrs().HardwareAddr),
		Addresses: slices.Clone(want.Addresses), Neighbors: slices.Clone(want.Neighbors),
		Routes: slices.Clone(want.Routes), Rules: slices.Clone(want.Rules),
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		got.MAC = model.MAC{} // down is as good as not configured
	}
	got.Addresses = slices.DeleteFunc(got.Addresses, func(a netip.Prefix) bool { return !pv.hasAddr(index, a) })
	got.Neighbors = slices.DeleteFunc(got.Neighbors, func(n desired.PodNeighbor) bool { return !pv.hasNeighbor(index, n) })
	got.Routes = slices.DeleteFunc(got.Routes, func(r desired.PodRoute) bool { return !pv.hasRoute(index, r) })
	got.Rules = slices.DeleteFunc(got.Rules, func(r desired.PodRule) bool { return !pv.hasRule(want.Name, r) })
	return got
}

func (pv *podView) hasAddr(link int, want netip.Prefix) bool {
	return slices.ContainsFunc(pv.addrs, func(a netlink.Addr) bool {
		p, ok := prefixOf(a.IPNet)
		return ok && a.LinkIndex == link && p == want
	})
}

func (pv *podView) hasNeighbor(link int, want desired.PodNeighbor) bool {
	return slices.ContainsFunc(pv.neighs, func(n netlink.Neigh) bool {
		return n.LinkIndex == link && addrOf(n.IP) == want.IP && macOf(n.HardwareAddr) == want.MAC
	})
}

func (pv *podView) hasRoute(link int, want desired.PodRoute) bool {
	return slices.ContainsFunc(pv.routes, func(r netlink.Route) bool {
		return r.LinkIndex == link && r.Table == want.Table &&
			destination(r) == want.Dst && addrOf(r.Gw) == want.Via
	})
}

func (pv *podView) hasRule(link string, want desired.PodRule) bool {
	return slices.ContainsFunc(pv.rules, func(r netlink.Rule) bool {
		from, _ := prefixOf(r.Src)
		oif := ""
		if !want.From.IsValid() {
			oif = link
		}
		return r.Priority == want.Priority && r.Table == want.Table && from == want.From &&
			r.OifName == oif && (r.Family == netlink.FAMILY_V6) == want.IPv6
	})
}

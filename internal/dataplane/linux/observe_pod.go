// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// podView is one pod's namespace, read once.
type podView struct {
	links  map[string]nl.Link
	addrs  []nl.Address
	routes []nl.Route
	rules  []nl.Rule
	neighs []nl.Neighbor
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
		link, ok := pv.links[want.Pod.Name]
		if !ok {
			continue // made anew; what is left of it is found under its name
		}
		got, switchEnd := v.port(want)
		if tap, isTap := o.(desired.Tap); isTap && d.portsOnly {
			got.MTU = link.MTU
			switchEnd = v.relayEnd(tap)
		}
		if switchEnd == nil {
			continue
		}
		d.mark(v, pod, want, switchEnd.Index, link.Index)
		got.Pod = pv.end(link, want.Pod)
		if link.MTU != got.MTU {
			got.MTU = 0 // the ends differ
		}
		if err := v.addPort(found, o, got, pod, [2]nl.Link{*switchEnd, link}); err != nil {
			return found, fmt.Errorf("%s: %w", want.Owner, err)
		}
	}
	return found, nil
}

// addPort adds a port as it was found, unless its ends, the switch's and the
// pod's, are not what the wanted one has.
func (v *view) addPort(found desired.Set, wanted desired.Object, got desired.Port, pod *pod, ends [2]nl.Link) error {
	switch wanted := wanted.(type) {
	case desired.Veth:
		sv := v.in(got.Network)
		paired, err := pod.pairs(sv.socket, sv.nsid, ends[0], ends[1])
		if paired {
			found.Add(desired.Veth{Port: got})
		}
		return err
	case desired.Tap:
		if ends[1].Kind == tapKind {
			found.Add(desired.Tap{Port: got, Queues: v.queues(wanted)})
		}
	case desired.Network, desired.HostLink, desired.Memif, desired.Route, desired.Neighbor:
	}
	return nil
}

// mark notes both ends of a port for the watch.
func (d *Driver) mark(v *view, pod *pod, p desired.Port, switchEnd, podEnd int) {
	d.index.expect(p.Owner, []string{linkName(p.Owner, p.Pod.Name)})
	if switchEnd != 0 {
		d.index.setLink(linkKey{v.in(p.Network).nsid, switchEnd}, d.switchMark(p))
	}
	d.index.setLink(linkKey{pod.nsid, podEnd}, podMark(p))
}

func readPod(p *pod) (*podView, error) {
	pv := &podView{links: map[string]nl.Link{}}
	links, err := p.socket.Links()
	if err != nil {
		return nil, fmt.Errorf("in the pod: %w", err)
	}
	for _, l := range links {
		pv.links[l.Name] = l
	}
	for _, list := range []func() error{
		func() (err error) { pv.addrs, err = p.socket.Addresses(); return err },
		func() (err error) { pv.routes, err = p.socket.Routes(protocol); return err },
		func() (err error) { pv.rules, err = p.socket.Rules(protocol); return err },
		func() (err error) { pv.neighs, err = p.socket.Neighbors(); return err },
	} {
		if err := list(); err != nil {
			return nil, fmt.Errorf("in the pod: %w", err)
		}
	}
	return pv, nil
}

// end reads the pod's end as far as it is ours: of what is wanted, what there
// is. Addresses, routes and the like that somebody added beside are theirs.
func (pv *podView) end(link nl.Link, want desired.PodEnd) desired.PodEnd {
	got := desired.PodEnd{
		Netns: want.Netns, Name: want.Name, MAC: link.MAC,
		Addresses: slices.Clone(want.Addresses), Neighbors: slices.Clone(want.Neighbors),
		Routes: slices.Clone(want.Routes), Rules: slices.Clone(want.Rules),
	}
	if !link.Up {
		got.MAC = model.MAC{} // down is as good as not configured
	}
	got.Addresses = slices.DeleteFunc(got.Addresses, func(a netip.Prefix) bool { return !slices.Contains(pv.addrs, nl.Address{Link: link.Index, Prefix: a}) })
	got.Neighbors = slices.DeleteFunc(got.Neighbors, func(n desired.PodNeighbor) bool {
		return !slices.Contains(pv.neighs, nl.Neighbor{Link: link.Index, IP: n.IP, MAC: n.MAC})
	})
	got.Routes = slices.DeleteFunc(got.Routes, func(r desired.PodRoute) bool { return !slices.Contains(pv.routes, podRoute(link.Index, r)) })
	got.Rules = slices.DeleteFunc(got.Rules, func(r desired.PodRule) bool { return !slices.Contains(pv.rules, podRule(want.Name, r)) })
	return got
}

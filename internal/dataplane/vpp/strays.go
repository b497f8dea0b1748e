// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"net/netip"
	"regexp"
	"slices"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// strays adds everything else that carries our mark: what the kernel shows of ports
// that nobody asked for, and VPP's interfaces, with or without a tag.
func (d *Driver) strays(k *known, v *view, kernel, wanted, found desired.Set) {
	for key, o := range kernel {
		if _, isFound := found[key]; isFound || wanted[key] != nil {
			continue
		}
		found[key] = d.withReach(v, key, o)
	}
	for _, i := range v.ifs {
		owner, port, isPort := parseTag(i.tag)
		switch {
		case isPort && !d.reported(owner, port, found):
			o := d.stray(v, i, owner, port)
			if wanted[o.Key()] == nil {
				found.Add(o)
			}
		case i.tag == "" && d.isHalfMade(k, i):
			found.Add(d.stray(v, i, unmarked(i.place()), i.place()))
		}
	}
}

// place is the name under which a session removes an interface without a tag.
func (i *iface) place() string {
	if i.host != "" {
		return i.host
	}
	return i.name
}

// isHalfMade reports whether an interface without a tag can be nobody's but ours: it
// is on a link whose name is ours to give, or on a socket in our folder.
func (d *Driver) isHalfMade(k *known, i *iface) bool {
	if i.host != "" {
		return regexp.MustCompile(`^.{1,4}-[0-9a-f]{10,13}$`).MatchString(i.host) && !k.makes(i.host)
	}
	return i.isMemif && d.isOurSocket(i.socket) && !k.makes(placeOf(i.socket, i.id))
}

// reported tells whether a port is in the set already, of whatever type.
func (d *Driver) reported(owner desired.Owner, port string, found desired.Set) bool {
	return slices.ContainsFunc([]desired.Kind{desired.KindVeth, desired.KindTap, desired.KindMemif}, func(kind desired.Kind) bool {
		return found[desired.Key{Owner: owner, Kind: kind, Name: port}] != nil
	})
}

// stray tells what can be read off an interface, of the type that takes the right
// way out.
func (d *Driver) stray(v *view, i *iface, owner desired.Owner, port string) desired.Object {
	p := desired.Port{
		Owner: owner, Network: model.StubNetwork, SwitchMAC: i.mac, MTU: int(i.mtu),
		Pod: desired.PodEnd{Name: port, MAC: model.PodMAC(owner.ContainerID, port)},
	}
	if network, ok := v.networkOf(i); ok {
		p.Network, p.Pod.Addresses = network, v.leadingTo(i)
	}
	switch {
	case i.tap != nil:
		p.Pod.Netns = i.tap.netnsOf()
		return desired.Tap{Port: p, Queues: 1}
	case i.isMemif && i.socket == d.tapSocket():
		return desired.Tap{Port: p, Queues: 1}
	case i.isMemif:
		return desired.Memif{Port: p, ID: i.id}
	default:
		return desired.Veth{Port: p}
	}
}

// withReach adds to a stray that the kernel shows what VPP shows of it.
func (d *Driver) withReach(v *view, key desired.Key, o desired.Object) desired.Object {
	i := v.tags[portTag(key.Owner, key.Name)]
	if i == nil {
		return o
	}
	add := func(p *desired.Port) {
		p.SwitchMAC = i.mac
		if network, ok := v.networkOf(i); ok {
			p.Network, p.Pod.Addresses = network, v.leadingTo(i)
		} else {
			p.Network = model.StubNetwork
		}
	}
	switch o := o.(type) {
	case desired.Veth:
		add(&o.Port)
		return o
	case desired.Tap:
		add(&o.Port)
		return o
	case desired.Network, desired.HostLink, desired.Memif, desired.Neighbor, desired.Route:
	}
	return o
}

// networkOf finds the network that lends an interface its addresses.
func (v *view) networkOf(i *iface) (string, bool) {
	lender := v.ifs[i.lends]
	if lender == nil {
		return "", false
	}
	name, _, ok := parseGatewayTag(lender.tag)
	return name, ok
}

// leadingTo lists the addresses that lead to an interface, IPv4 first.
func (v *view) leadingTo(i *iface) []netip.Prefix {
	var list []netip.Prefix
	for key, r := range v.routes {
		if r.out == i.index && r.via == key.dst.Addr() && v.isOurs(key.table) {
			list = append(list, key.dst)
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return list
}

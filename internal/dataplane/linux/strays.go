// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// strays adds everything else that carries our mark: links with or without an
// owner's alias, and taps and memifs that only the relay knows of. A stray is reported
// with what can be read off it, so that an agent that lost its journal can take
// it up again.
func (d *Driver) strays(v *view, found desired.Set) {
	known := map[string]bool{}
	for _, o := range found {
		if p, ok := desired.PortOf(o); ok {
			known[linkName(p.Owner, p.Pod.Name)] = true
		}
	}
	pods := d.podNamespaces()
	for network, sv := range v.spaces {
		for name, link := range sv.links {
			owner, port, marked := parseAlias(link.Alias)
			switch {
			case known[name]:
			case marked:
				stray := desired.Port{
					Owner: owner, Network: network, MTU: link.MTU, SwitchMAC: d.linkMAC(link.MAC),
					Pod: desired.PodEnd{Name: port, Addresses: sv.routed(link.Index)},
				}
				readAliasRest(link.Alias, &stray)
				if sv.nsid == nl.OwnNamespace { // ids of other namespaces mean others
					stray.Pod.Netns = pods[link.PeerNamespace]
				}
				v.addStray(found, stray, &link)
			case !d.index.makes(name): // else it is about to be marked
				v.addStray(found, desired.Port{Owner: unmarked(name), Network: network, Pod: desired.PodEnd{Name: name}}, &link)
			}
		}
	}
	for _, id := range slices.Concat(slices.Collect(maps.Keys(v.taps)), slices.Collect(maps.Keys(v.memifs))) {
		owner, port, ok := parsePortID(id)
		if ok && !known[linkName(owner, port)] {
			v.addStray(found, desired.Port{Owner: owner, Pod: desired.PodEnd{Name: port}}, nil)
		}
	}
}

// addStray reports a stray as the type that takes the right way out: a tap or a
// memif where the relay knows it, with the namespace it is in. What the relay
// alone knows of comes last, and says less.
func (v *view) addStray(found desired.Set, p desired.Port, link *nl.Link) {
	p.Pod.MAC = model.PodMAC(p.Owner.ContainerID, p.Pod.Name)
	id := portID(p.Owner, p.Pod.Name)
	report := func(o desired.Object) {
		if _, reported := found[o.Key()]; !reported || link != nil {
			found.Add(o)
		}
	}
	tap, isTap := v.taps[id]
	memif, isMemif := v.memifs[id]
	switch {
	case isTap:
		p.Pod.Netns = model.Netns{Path: tap.Pod.Netns, Inode: tap.Pod.Inode}
		report(desired.Tap{Port: p, Queues: tap.Queues})
	case isMemif:
		p.Pod.Netns = memif.Socket.Pod
		report(desired.Memif{
			Port: p, ID: memif.Memif, Folder: memif.Socket.Folder, AcceptUnsealed: memif.AcceptUnsealed,
			QueuePairs: memif.Socket.QueuePairs, RingSize: memif.Socket.RingSize, Queues: memif.Queues,
		})
	case link != nil && link.Kind == tapKind:
		found.Add(desired.Tap{Port: p})
	default:
		found.Add(desired.Veth{Port: p})
	}
}

// routed lists the addresses that lead to a port, IPv4 first.
func (sv *spaceView) routed(link int) []netip.Prefix {
	var list []netip.Prefix
	for _, r := range sv.routes {
		if r.Link == link && r.Table == desired.MainTable {
			list = append(list, r.Dst)
		}
	}
	return list
}

// podNamespaces finds the namespaces that container runtimes keep, by the id
// that the node's namespace has for them. Only those of veths have one for
// sure; of taps the relay knows.
func (d *Driver) podNamespaces() map[int]model.Netns {
	found := map[int]model.Netns{}
	entries, err := os.ReadDir(d.config.PodNetnsDir)
	if err != nil {
		return found
	}
	for _, e := range entries {
		path := filepath.Join(d.config.PodNetnsDir, e.Name())
		h, err := netns.Open(path)
		if err != nil {
			continue
		}
		if id, err := d.node.socket.FindNSID(h); err == nil && id != nl.OwnNamespace {
			found[id] = model.Netns{Path: path, Inode: h.Inode()}
		}
		_ = h.Close()
	}
	return found
}

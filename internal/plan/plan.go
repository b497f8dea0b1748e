// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package plan compiles what is asked for into what the dataplane should have.
// It is pure: the same snapshot always gives the same set. Each attachment's
// part depends on the node and on that attachment alone, so that the cost of a
// change does not grow with what is already there.
package plan

import (
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Node is what the plan must know of the node it is for.
type Node struct {
	// Default is the pod network as this node has it.
	Default desired.Network
	// Host joins the switch to the node; nil where the kernel is the switch.
	Host *desired.HostLink
}

// Snapshot is everything that is asked for at one moment.
type Snapshot struct {
	Node        Node
	Attachments []model.Attachment
}

// Compile is the whole plan. Attachments on their way out have no part in it.
// The error names the attachments that cannot be planned; the set holds the
// others.
func Compile(s Snapshot) (desired.Set, []error) {
	set := desired.NewSet(s.Node.Objects()...)
	var problems []error
	for _, a := range s.Attachments {
		objects, err := s.Node.Attachment(a)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		set.Add(objects...)
	}
	return set, problems
}

// Objects is the part of the plan that belongs to the node itself.
func (n Node) Objects() []desired.Object {
	objects := []desired.Object{n.Default, desired.Network{Name: model.StubNetwork}}
	if n.Host != nil {
		objects = append(objects, *n.Host)
	}
	return objects
}

// Attachment is the part of the plan that one attachment has; nothing once it
// is leaving.
func (n Node) Attachment(a model.Attachment) ([]desired.Object, error) {
	if a.Leaving {
		return nil, nil
	}
	var objects []desired.Object
	for i := range a.Interfaces {
		port := n.port(a, i)
		object, err := n.typed(a.Interfaces[i], port)
		if err != nil {
			return nil, fmt.Errorf("interface %s of pod %s: %w", port.Pod.Name, a.Pod, err)
		}
		objects = append(objects, object)
		objects = append(objects, reach(object, port)...)
	}
	return objects, nil
}

// reach is what leads the network's traffic to a port: a route for every
// address, and a permanent neighbour. An application at a memif is asked instead:
// its MAC is its own choice, as it was in Contiv-VPP.
func reach(o desired.Object, p desired.Port) []desired.Object {
	_, isAsked := o.(desired.Memif)
	var objects []desired.Object
	for _, prefix := range p.Pod.Addresses {
		if !isAsked {
			objects = append(objects, desired.Neighbor{
				Owner: p.Owner, Network: p.Network, Interface: p.Pod.Name, IP: prefix.Addr(), MAC: p.Pod.MAC,
			})
		}
		objects = append(objects, desired.Route{
			Owner: p.Owner, Network: p.Network, Interface: p.Pod.Name, Dst: prefix,
		})
	}
	return objects
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/ipam"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/watch"
)

// rangesOf decides the ranges of the node's pods, IPv4 first: its share of the pod
// network where the configuration numbers the node, else what the cluster gave it,
// else its share by the number that the cluster has for it.
func rangesOf(c config.Config, n model.Node) ([]netip.Prefix, error) {
	ranges := n.PodRanges
	var err error
	switch {
	case numbered(c):
		ranges, err = shares(c, c.NodeID)
	case len(ranges) > 0:
	case n.ID > 0:
		ranges, err = shares(c, n.ID)
	default:
		err = fmt.Errorf("no spec.podCIDRs: have kube-controller-manager give nodes ranges (--allocate-node-cidrs), "+
			"or configure network.subnets and number the node by its annotation %s", watch.NodeIDAnnotation)
	}
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.NodeName, err)
	}
	for _, r := range ranges {
		if err := config.CheckReserved(r); err != nil {
			return nil, fmt.Errorf("node %s: pod range %w", c.NodeName, err)
		}
	}
	addresses, err := ipam.New(ranges...)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.NodeName, err)
	}
	return addresses.Ranges(), nil
}

// numbered reports whether the node's ranges follow from the configuration alone.
func numbered(c config.Config) bool { return c.NodeID > 0 }

// shares cuts the node's share out of each subnet.
func shares(c config.Config, id int) ([]netip.Prefix, error) {
	if len(c.Network.Subnets) == 0 {
		return nil, fmt.Errorf("its number is %d, and network.subnets, of which it would have a share, is not configured", id)
	}
	var list []netip.Prefix
	for _, s := range c.Network.Subnets {
		share, err := ipam.NodeRange(s.CIDR, s.NodePrefixLen, id)
		if err != nil {
			return nil, err
		}
		list = append(list, share)
	}
	return list, nil
}

// network is the pod network as the node has it with these ranges.
func network(c config.Config, ranges []netip.Prefix) (plan.Node, *ipam.Allocator, error) {
	addresses, err := ipam.New(ranges...)
	if err != nil {
		return plan.Node{}, nil, err
	}
	node := plan.Node{Default: desired.Network{
		Name:       model.DefaultNetwork,
		Gateways:   addresses.Gateways(),
		Pods:       addresses.Ranges(),
		Inside:     inside(c, addresses.Ranges()),
		Masquerade: c.Network.MasqueradeOn(),
	}}
	if c.Dataplane == config.DataplaneVPP {
		link, err := hostRanges(c, addresses.Ranges())
		if err != nil {
			return plan.Node{}, nil, err
		}
		node.Default.Table = plan.PodTable
		node.Host = plan.NewHostLink(link, addresses.Ranges(), c.Network.MTU)
	}
	return node, addresses, nil
}

// hostRanges are the node's shares of the ranges for the link between its switch
// and its kernel. Nothing of them leaves the node: where the cluster gives nodes no
// numbers, all have the same.
func hostRanges(c config.Config, pods []netip.Prefix) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for i, s := range c.Network.HostSubnets {
		share, err := ipam.NodeRange(s.CIDR, s.NodePrefixLen, max(c.NodeID, 1))
		if err != nil {
			return nil, fmt.Errorf("network.hostSubnets[%d]: %w", i, err)
		}
		if at := slices.IndexFunc(pods, share.Overlaps); at >= 0 {
			return nil, fmt.Errorf("network.hostSubnets[%d]: %s overlaps the pods' %s; choose another range", i, share, pods[at])
		}
		list = append(list, share)
	}
	return list, nil
}

// compareNetworks looks whether the node has the ranges already, for something else. A
// link to VPP on top of a network that the node is in would take the node's packets to
// that. Of pods each has a route of its own, so that what else is in their range is
// told of, and no more.
func compareNetworks(log *slog.Logger, node plan.Node) error {
	networks, err := nodenet.Networks()
	if err != nil {
		return err
	}
	if node.Host != nil {
		for _, a := range node.Host.Host {
			if n, ok := nodenet.InTheWay(networks, a.Masked()); ok {
				return fmt.Errorf("network.hostSubnets: %s, the node's share for its link to VPP, overlaps %s; choose another range", a.Masked(), n)
			}
		}
	}
	for _, r := range node.Default.Pods {
		if n, ok := nodenet.InTheWay(networks, r); ok {
			log.Warn("the range of this node's pods overlaps a network of the node; what is sent there may go astray",
				slog.String("range", r.String()), slog.String("network", n.String()))
		}
	}
	return nil
}

// inside is where pods are seen by their own addresses: in the cluster's ranges,
// and in any case in the node's.
func inside(c config.Config, ranges []netip.Prefix) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range c.Network.Subnets {
		if !slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Overlaps(s.CIDR) && r.Bits() < s.CIDR.Bits() }) {
			list = append(list, s.CIDR)
		}
	}
	for _, r := range ranges {
		if !slices.ContainsFunc(list, r.Overlaps) {
			list = append(list, r)
		}
	}
	return list
}

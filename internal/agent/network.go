// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/ipam"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// network cuts this node's share out of the pod network.
func network(c config.Config) (plan.Node, *ipam.Allocator, error) {
	var ranges, inside []netip.Prefix
	for _, s := range c.Network.Subnets {
		share, err := ipam.NodeRange(s.CIDR, s.NodePrefixLen, c.NodeID)
		if err != nil {
			return plan.Node{}, nil, err
		}
		ranges = append(ranges, share)
		inside = append(inside, s.CIDR)
	}
	addresses, err := ipam.New(ranges...)
	if err != nil {
		return plan.Node{}, nil, err
	}
	return plan.Node{Default: desired.Network{
		Name:       model.DefaultNetwork,
		Gateways:   addresses.Gateways(),
		Pods:       addresses.Ranges(),
		Inside:     inside,
		Masquerade: c.Network.MasqueradeOn(),
	}}, addresses, nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// What a switch beside the kernel has on every node, as Contiv-VPP had it.
const (
	// PodTable is the routing table of the pod network; the main table, of which
	// the node's link is, is 0.
	PodTable = 1
	// hostLinkName is the node's end of its link to the switch.
	hostLinkName = "vpp1"
)

// NewHostLink plans the link between the switch and the node. ranges are the node's
// shares of the host subnets, of each family at most one, of which the switch has
// the first address and the node the second; pods are the ranges of its pods. Of a
// family without pods, or without a share, the link knows nothing.
func NewHostLink(ranges, pods []netip.Prefix, mtu int) *desired.HostLink {
	h := &desired.HostLink{
		Name: hostLinkName, MTU: mtu, Pods: pods,
		// Two that each node may have: no frame with one leaves the node.
		SwitchMAC: model.MAC{0x34, 0x3c, 0, 0, 0, 1}, HostMAC: model.MAC{0x34, 0x3c, 0, 0, 0, 2},
	}
	for _, r := range ranges {
		if !hasFamily(pods, r.Addr()) {
			continue
		}
		first := r.Masked().Addr().Next()
		h.Switch = append(h.Switch, netip.PrefixFrom(first, r.Bits()))
		h.Host = append(h.Host, netip.PrefixFrom(first.Next(), r.Bits()))
	}
	return h
}

func hasFamily(list []netip.Prefix, like netip.Addr) bool {
	for _, p := range list {
		if p.Addr().Is4() == like.Is4() {
			return true
		}
	}
	return false
}

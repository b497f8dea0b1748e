// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
)

// minHostBits is the least a range needs: of its 2^n addresses the first two
// and the last two are not for pods.
const minHostBits = 3

// NodeRange cuts one node's share out of a cluster-wide range. Shares are
// numbered by node id, from 1; the id just past the last share wraps to share
// 0, which no other node has (Contiv-VPP v3.4.2, plugins/ipam/ipam.go:1351):
// of 10.1.0.0/16 cut at 24, node 1 has 10.1.1.0/24 and node 256 10.1.0.0/24.
func NodeRange(cidr netip.Prefix, nodePrefixLen, nodeID int) (netip.Prefix, error) {
	if !cidr.IsValid() {
		return netip.Prefix{}, fmt.Errorf("pod range of node %d: the cluster's range is not set", nodeID)
	}
	cidr = cidr.Masked()
	newBits := nodePrefixLen - cidr.Bits()
	if newBits <= 0 {
		return netip.Prefix{}, fmt.Errorf("pod range %s: a node's prefix length %d is not longer than the range's",
			cidr, nodePrefixLen)
	}
	if nodePrefixLen > cidr.Addr().BitLen()-minHostBits {
		return netip.Prefix{}, fmt.Errorf("pod range %s: a node's prefix length %d leaves no room for pods (want at most %d)",
			cidr, nodePrefixLen, cidr.Addr().BitLen()-minHostBits)
	}
	share, ok := shareNumber(nodeID, newBits)
	if !ok {
		return netip.Prefix{}, fmt.Errorf("pod range %s: node id %d is not between 1 and %d, the number of /%d shares",
			cidr, nodeID, uint64(1)<<newBits, nodePrefixLen)
	}
	raw := cidr.Addr().AsSlice()
	for bit := nodePrefixLen - 1; share > 0; bit-- {
		raw[bit/8] |= byte(share&1) << (7 - bit%8)
		share >>= 1
	}
	addr, _ := netip.AddrFromSlice(raw) // the length is that of an address
	return netip.PrefixFrom(addr, nodePrefixLen), nil
}

// shareNumber is the node id modulo 2^newBits, for ids from 1 to 2^newBits.
func shareNumber(nodeID, newBits int) (uint64, bool) {
	if nodeID < 1 {
		return 0, false
	}
	id := uint64(nodeID)
	if newBits >= 63 { // an int has no more than 63 bits
		return id, true
	}
	shares := uint64(1) << newBits
	return id % shares, id <= shares
}

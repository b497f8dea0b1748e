// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/ipam"
)

func TestNodeRange(t *testing.T) {
	for _, c := range []struct {
		cidr   string
		length int
		node   int
		want   string
	}{
		// Contiv's defaults; the id past the last share wraps to share 0.
		{"10.1.0.0/16", 24, 1, "10.1.1.0/24"},
		{"10.1.0.0/16", 24, 2, "10.1.2.0/24"},
		{"10.1.0.0/16", 24, 255, "10.1.255.0/24"},
		{"10.1.0.0/16", 24, 256, "10.1.0.0/24"},
		{"10.100.0.0/16", 24, 1, "10.100.1.0/24"},
		{"10.128.0.0/16", 25, 3, "10.128.1.128/25"},
		{"10.0.0.0/8", 29, 65535, "10.7.255.248/29"},
		{"10.1.77.7/16", 24, 1, "10.1.1.0/24"},
		{"fd00:10:1::/48", 64, 1, "fd00:10:1:1::/64"},
		{"fd00:10:1::/48", 64, 65535, "fd00:10:1:ffff::/64"},
		{"fd00:10:1::/48", 64, 65536, "fd00:10:1::/64"},
		{"fd00:10::/32", 112, 258, "fd00:10::102:0/112"},
		{"::/0", 125, 1, "::8/125"},
	} {
		got, err := ipam.NodeRange(netip.MustParsePrefix(c.cidr), c.length, c.node)
		if err != nil || got.String() != c.want {
			t.Errorf("%s cut at %d, node %d: %v, %v, want %s", c.cidr, c.length, c.node, got, err, c.want)
		}
	}
}

func TestNodeRangeRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		cidr   netip.Prefix
		length int
		node   int
		want   string
	}{
		{"no range", netip.Prefix{}, 24, 1, "is not set"},
		{"node 0", netip.MustParsePrefix("10.1.0.0/16"), 24, 0, "node id 0 is not between 1 and 256"},
		{"node -1", netip.MustParsePrefix("10.1.0.0/16"), 24, -1, "node id -1 is not between 1 and 256"},
		{"node too large", netip.MustParsePrefix("10.1.0.0/16"), 24, 257, "node id 257 is not between 1 and 256"},
		{"same length", netip.MustParsePrefix("10.1.0.0/16"), 16, 1, "16 is not longer than the range's"},
		{"shorter", netip.MustParsePrefix("10.1.0.0/16"), 8, 1, "8 is not longer than the range's"},
		{"no room", netip.MustParsePrefix("10.1.0.0/16"), 30, 1, "30 leaves no room for pods (want at most 29)"},
		{"no room, IPv6", netip.MustParsePrefix("fd00::/64"), 126, 1, "126 leaves no room for pods (want at most 125)"},
		{"beyond the address", netip.MustParsePrefix("10.1.0.0/16"), 64, 1, "64 leaves no room for pods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ipam.NodeRange(c.cidr, c.length, c.node)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

// Every node of a cluster has a range of its own inside the cluster's.
func TestNodeRangesAreDistinct(t *testing.T) {
	cidr := netip.MustParsePrefix("10.1.0.0/16")
	owner := map[netip.Prefix]int{}
	for node := 1; node <= 256; node++ {
		got, err := ipam.NodeRange(cidr, 24, node)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := owner[got]; ok {
			t.Errorf("%s belongs to nodes %d and %d", got, other, node)
		}
		if !cidr.Contains(got.Addr()) || got != got.Masked() {
			t.Errorf("node %d: %s is not a range inside %s", node, got, cidr)
		}
		owner[got] = node
	}
}

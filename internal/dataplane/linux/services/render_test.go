// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// nft takes no two ranges that overlap; what is let through is the same.
func TestDisjoint(t *testing.T) {
	for _, c := range []struct{ list, want []string }{
		{nil, nil},
		{[]string{"10.1.0.0/16", "10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{[]string{"10.0.0.0/8", "10.255.255.255/32", "11.0.0.0/32"}, []string{"10.0.0.0/8", "11.0.0.0/32"}},
		{[]string{"192.0.2.1/32", "192.0.2.1/32", "192.0.2.0/32"}, []string{"192.0.2.0/32", "192.0.2.1/32"}},
		{[]string{"192.0.2.9/24", "192.0.2.0/25"}, []string{"192.0.2.0/24"}},
		{[]string{"0.0.0.0/0", "10.0.0.0/8"}, []string{"0.0.0.0/0"}},
		{[]string{"2001:db8:1::/48", "2001:db8::/32"}, []string{"2001:db8::/32"}},
	} {
		var list []netip.Prefix
		for _, text := range c.list {
			list = append(list, netip.MustParsePrefix(text))
		}
		var got []string
		for _, p := range disjoint(list) {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("of %v (-want +got):\n%s", c.list, diff)
		}
	}
}

// As many ranges as an object of the API server can have cost what they are worth.
func TestManySources(t *testing.T) {
	const count = 200_000
	list := make([]netip.Prefix, count)
	for n := range list {
		list[n] = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
	}
	began := time.Now()
	if got := disjoint(list); len(got) != count {
		t.Errorf("%d ranges, want %d", len(got), count)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

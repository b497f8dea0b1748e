// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

func TestHostLink(t *testing.T) {
	prefixes := func(list ...string) (all []netip.Prefix) {
		for _, s := range list {
			all = append(all, netip.MustParsePrefix(s))
		}
		return all
	}
	shares := prefixes("172.30.1.0/24", "fd30::/64")
	for name, test := range map[string]struct {
		pods []netip.Prefix
		want string
	}{
		"both families": {
			prefixes("10.1.1.0/24", "fd10:1:0:1::/64"),
			"host-link node vpp1 mtu 1450 mac 34:3c:00:00:00:02 switch-mac 34:3c:00:00:00:01 " +
				"switch 172.30.1.1/24 switch fd30::1/64 host 172.30.1.2/24 host fd30::2/64 pods 10.1.1.0/24 pods fd10:1:0:1::/64",
		},
		"IPv4 alone": {
			prefixes("10.1.1.0/24"),
			"host-link node vpp1 mtu 1450 mac 34:3c:00:00:00:02 switch-mac 34:3c:00:00:00:01 " +
				"switch 172.30.1.1/24 host 172.30.1.2/24 pods 10.1.1.0/24",
		},
	} {
		node := plan.Node{
			Default: desired.Network{Name: model.DefaultNetwork, Table: plan.PodTable},
			Host:    plan.NewHostLink(shares, test.pods, 1450),
		}
		want := "network node default table 1\nnetwork node stub\n" + test.want + "\n"
		if diff := cmp.Diff(want, desired.NewSet(node.Objects()...).String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

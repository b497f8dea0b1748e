// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
)

// reserved are the ranges whose addresses no interface of a pod can be reached
// at, and what they are for (RFC 6890 and the registries that it began).
//
//nolint:gochecknoglobals // a table
var reserved = []struct{ cidr, use string }{
	{"0.0.0.0/8", "this host"},
	{"127.0.0.0/8", "loopback"},
	{"169.254.0.0/16", "link-local addresses"},
	{"224.0.0.0/4", "multicast"},
	{"255.255.255.255/32", "broadcast"},
	{"::/127", "this host and loopback"},
	{"::ffff:0:0/96", "IPv4 addresses written as IPv6"},
	{"fe80::/10", "link-local addresses"},
	{"ff00::/8", "multicast"},
}

// CheckReserved says with which reserved range pods could not have addresses of a
// subnet; nil where it overlaps none.
func CheckReserved(subnet netip.Prefix) error {
	for _, r := range reserved {
		if subnet.Overlaps(netip.MustParsePrefix(r.cidr)) {
			return fmt.Errorf("%s overlaps %s, which is reserved for %s; choose a private range such as 10.1.0.0/16 or fd00:10:1::/48",
				subnet, r.cidr, r.use)
		}
	}
	return nil
}

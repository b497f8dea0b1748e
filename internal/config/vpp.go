// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"slices"
)

// validateDataplane looks at what switches, and at what that has use for.
func (c Config) validateDataplane() []error {
	switch c.Dataplane {
	case DataplaneLinux:
		return nil
	case DataplaneVPP:
		return append(c.Network.validateHost(c.NodeID), c.VPP.validate()...)
	default:
		return []error{fmt.Errorf("dataplane: %q is not known (want linux or vpp)", c.Dataplane)}
	}
}

func (v VPP) validate() []error {
	var errs []error
	for _, s := range []struct{ field, path string }{
		{"apiSocket", v.APISocket}, {"statsSocket", v.StatsSocket}, {"cliSocket", v.CLISocket},
	} {
		if !filepath.IsAbs(s.path) {
			errs = append(errs, fmt.Errorf("vpp.%s: %q is not an absolute path", s.field, s.path))
		}
	}
	if n := v.TapRingSize; n < MinTapRingSize || n > MaxTapRingSize || n&(n-1) != 0 {
		errs = append(errs, fmt.Errorf("vpp.tapRingSize: %d is not a power of two between %d and %d", n, MinTapRingSize, MaxTapRingSize))
	}
	return errs
}

// validateHost looks at the ranges of the link between VPP and the node: the
// node's kernel has routes to these and to the pods.
func (n Network) validateHost(nodeID int) []error {
	var errs []error
	families := map[bool]bool{}
	for i, s := range n.HostSubnets {
		bad := func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("network.hostSubnets[%d]%s: "+format, append([]any{i, field}, args...)...))
		}
		if !s.CIDR.IsValid() {
			bad(".cidr", "is required")
			continue
		}
		if families[s.CIDR.Addr().Is4()] {
			bad("", "%s is a second subnet of its family", s.CIDR)
		}
		families[s.CIDR.Addr().Is4()] = true
		if s.CIDR != s.CIDR.Masked() {
			bad(".cidr", "%s has bits set beyond its length", s.CIDR)
		}
		if err := CheckReserved(s.CIDR); err != nil {
			bad(".cidr", "%w", err)
		}
		if j := slices.IndexFunc(n.Subnets, func(pods Subnet) bool { return pods.CIDR.Overlaps(s.CIDR) }); j >= 0 {
			bad(".cidr", "%s overlaps network.subnets[%d], %s: choose another range for one of them", s.CIDR, j, n.Subnets[j].CIDR)
		}
		if err := s.validateSplit(max(nodeID, 1)); err != nil {
			bad(".nodePrefixLen", "%w", err)
		}
	}
	for i, s := range n.Subnets {
		if s.CIDR.IsValid() && !families[s.CIDR.Addr().Is4()] {
			errs = append(errs, fmt.Errorf("network.hostSubnets: none is of the family of network.subnets[%d], %s", i, s.CIDR))
		}
	}
	return errs
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/polynic/polynic/internal/dataplane/nodenet"
)

// networks compares the ranges that polynic is to have with the networks of the node.
// There is nothing to say where no range is known.
func (c Config) networks() []Finding {
	ranges := c.Pods
	if c.VPP != nil {
		ranges = append(ranges[:len(ranges):len(ranges)], c.VPP.HostShares...)
	}
	if len(ranges) == 0 {
		return nil
	}
	f := Finding{Check: "networks of the node", Level: OK}
	list, err := nodenet.Networks()
	if err != nil {
		f.Level, f.Found, f.Advice = Warning, err.Error(), "run this as root"
		return []Finding{f}
	}
	var found, advice []string
	compare := func(ranges []netip.Prefix, what, setting string, level Level) {
		for _, r := range ranges {
			n, isInTheWay := nodenet.InTheWay(list, r)
			if !isInTheWay {
				continue
			}
			found = append(found, fmt.Sprintf("%s is to be %s, and overlaps %s", r, what, n))
			advice = append(advice, "choose another range for "+setting)
			if f.Level != Missing {
				f.Level = level
			}
		}
	}
	if c.VPP != nil {
		compare(c.VPP.HostShares, "the node's link to VPP", "network.hostSubnets (--host-subnets looks at it)", Missing)
	}
	compare(c.Pods, "pods'", "pods (network.subnets, or the cluster's), or take that away", Warning)
	f.Found, f.Advice = strings.Join(found, "; "), strings.Join(advice, "; ")
	if found == nil {
		f.Found = "none is in the way of " + strings.Trim(fmt.Sprint(ranges), "[]")
	}
	return []Finding{f}
}

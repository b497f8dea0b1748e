// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"fmt"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
)

// rules is the node's nftables table: pods are hidden on their way outside, and the
// kernel takes no packet from links that VPP has. What pods ask the node for, and it
// sends back to pods, gets the node's address, so that the answers come back to the
// node, which knows the connection; they would take the short way through VPP. Who is
// no pod is behind the node anyway.
func rules(n desired.Network) nodenet.Rules {
	return func(tx *knftables.Transaction) {
		tx.Add(&knftables.Chain{
			Name: "guard", Type: knftables.PtrTo(knftables.FilterType),
			Hook: knftables.PtrTo(knftables.PreroutingHook), Priority: knftables.PtrTo(knftables.RawPriority),
		})
		tx.Add(&knftables.Rule{
			Chain: "guard", Rule: fmt.Sprintf("iifgroup { %d, %d } counter drop", linux.PortGroup, hostGroup),
			Comment: new("VPP has what comes from here"),
		})
		tx.Add(&knftables.Chain{
			Name: "services", Type: knftables.PtrTo(knftables.NATType),
			Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority),
		})
		for _, pods := range n.Pods {
			word := "ip"
			if pods.Addr().Is6() {
				word = "ip6"
			}
			tx.Add(&knftables.Rule{
				Chain: "services", Rule: fmt.Sprintf("oifgroup %d ct status dnat %s saddr %s masquerade fully-random", nodeGroup, word, pods),
				Comment: new("answers to a pod come back to the node"),
			})
		}
		nodenet.AddOutbound(tx, n)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
)

// rules is what the network needs of the node's nftables table: adding a pod changes
// routes, and the rules ask those.
func rules(n desired.Network) nodenet.Rules {
	return func(tx *knftables.Transaction) {
		tx.Add(&knftables.Chain{
			Name: "guard", Type: knftables.PtrTo(knftables.FilterType),
			Hook: knftables.PtrTo(knftables.PreroutingHook), Priority: knftables.PtrTo(knftables.RawPriority),
		})
		tx.Add(&knftables.Rule{
			Chain:   "guard",
			Rule:    fmt.Sprintf("iifgroup %d fib saddr . iif oif missing counter drop", portGroup),
			Comment: new("a pod sends from its own addresses only"),
		})
		nodenet.AddOutbound(tx, n)
	}
}

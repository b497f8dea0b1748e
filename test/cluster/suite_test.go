// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"github.com/polynic/polynic/test/harness"
)

// suite is a cluster with the product on its node.
type suite struct {
	*cluster
	agent *harness.Node
}

// TestCluster has one cluster, on which everything is tried in turn.
func TestCluster(t *testing.T) {
	needPrograms(t)
	c := startCluster(t)
	s := suite{cluster: c, agent: c.startPolynic()}
	c.node.WaitReady()
	for _, part := range []struct {
		name string
		try  func(suite)
	}{
		{"multi-if-pod", suite.multiInterface},
		{"vnf-pod", suite.memif},
		{"etcd", suite.etcd},
		{"memif containers", suite.memifContainers},
		{"agent between Allocate and ADD", suite.agentBetween},
		{"scale", suite.scale},
		{"restarts", suite.restarts},
		{"sandbox anew", suite.sandboxAnew},
		{"refusals", suite.refusals},
		{"services", suite.services},
		{"service endpoints", suite.serviceEndpoints},
		{"services under load", suite.servicesUnderLoad},
		{"under Multus", suite.underMultus},
	} {
		t.Run(part.name, func(t *testing.T) {
			own := *c
			own.t = t
			t.Cleanup(own.clear)
			part.try(suite{cluster: &own, agent: s.agent})
		})
	}
}

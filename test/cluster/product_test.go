// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

// TestCluster is the suite: one cluster, on which everything is tried in turn.
func TestCluster(t *testing.T) {
	needPrograms(t)
	c := startCluster(t)
	n := c.startPolynic()
	c.node.WaitReady()
	for _, part := range []struct {
		name string
		try  func(*testing.T, *cluster, *harness.Node)
	}{
		{"seed multi-if-pod", seedMultiInterface},
		{"seed vnf-pod", seedMemif},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.try(t, c.in(t), n) }) {
			return
		}
	}
}

// in is the cluster for a part of the suite: what fails there fails that part.
func (c *cluster) in(t *testing.T) *cluster {
	part := *c
	part.t = t
	return &part
}

func (c *cluster) standIn(n *harness.Node, name, text string) {
	if err := os.WriteFile(filepath.Join(n.Dir, "pods", name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// The interfaces are those that the document shows: lo, eth0, veth1, tap1.
func seedMultiInterface(t *testing.T, c *cluster, n *harness.Node) {
	seed := manifest(t, "multi-if-pod.yaml")
	c.standIn(n, "multi-if-pod.yaml", seed)
	c.Apply(seed)
	c.waitPods(1)
	out := c.exec("multi-if-pod", "ip", "addr")
	for _, line := range []string{
		`(?m)^\d+: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536`,
		`(?m)^\d+: eth0@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
		`(?m)^\d+: veth1@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
		`(?m)^\d+: tap1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("no %s in\n%s", line, out)
		}
	}
	if links := strings.Count(out, "link/"); links != 4 {
		t.Errorf("%d interfaces, want 4:\n%s", links, out)
	}
	for _, name := range []string{"eth0", "veth1", "tap1"} {
		c.exec("multi-if-pod", "ping", "-c", "1", "-W", "2", "-I", name, "172.30.0.2")
	}
	c.Kubectl("delete", "pod", "multi-if-pod", "--grace-period=1")
}

func seedMemif(t *testing.T, c *cluster, n *harness.Node) {
	seed := manifest(t, "vnf-pod.yaml")
	c.standIn(n, "vnf-pod.yaml", seed)
	c.Apply(seed)
	c.waitPods(1)
	out := c.exec("vnf-pod", "sh", "-c", "env | grep MEMIF")
	if !regexp.MustCompile(`^MEMIF_SECRET=[0-9a-z]{20}\nMEMIF_SOCKET=/run/vpp/memif\.sock\n$`).MatchString(sorted(out)) {
		t.Errorf("the environment of the pod:\n%s", out)
	}
	_ = time.Second
}

func sorted(lines string) string {
	all := strings.SplitAfter(lines, "\n")
	return strings.Join(slices.Sorted(slices.Values(all)), "")
}

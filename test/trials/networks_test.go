// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// onLAN gives the node an address in a network of its own.
func onLAN(t *testing.T, address string) {
	t.Helper()
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", "lan").Run() })
	for _, line := range []string{"link add lan type bridge", "link set lan up", "addr add " + address + " dev lan"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
}

// told waits until the agent's log has a text.
func told(t *testing.T, n *harness.Node, text string) {
	t.Helper()
	harness.Eventually(t, 20*time.Second, func() error {
		log, err := os.ReadFile(filepath.Join(n.Dir, "agent.log"))
		if err == nil && !strings.Contains(string(log), text) {
			err = fmt.Errorf("the agent did not say: %s", text)
		}
		return err
	})
}

// TestLinkToVPPOverlaps: an agent whose link to VPP would take the packets to a network
// of the node's does not start, names both, and makes nothing.
func TestLinkToVPPOverlaps(t *testing.T) {
	n := harness.NewNode(t, func(c *config.Config) { c.Dataplane = config.DataplaneVPP })
	onLAN(t, "172.30.7.9/16")
	before, err := n.LookAtKernel()
	if err != nil {
		t.Fatal(err)
	}
	n.StartAgent()
	select {
	case <-n.Agent.Ended():
	case <-time.After(harness.Patience(20 * time.Second)):
		t.Error("the agent runs")
	}
	told(t, n, "network.hostSubnets: 172.30.1.0/24, the node's share for its link to VPP, overlaps 172.30.7.9/16 of lan; choose another range")
	if now, err := n.LookAtKernel(); err != nil || string(now) != string(before) {
		t.Errorf("the node: %v\n%s\nwas\n%s", err, now, before)
	}
}

// TestPodsOverlap: the agent works where the range of its pods is in a network of the
// node's, whose other hosts it may hide, and says so.
func TestPodsOverlap(t *testing.T) {
	onLAN(t, "10.1.7.9/16")
	n := harness.Start(t, nil)
	told(t, n, "the range of this node's pods overlaps a network of the node")
	pod := n.Pod("")
	pod.MustAdd()
	pod.MustDel()
}

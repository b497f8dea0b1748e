// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubenode"
)

// startPolynic runs relay and agent as processes of the node and installs the
// plugin, its configuration last.
func (c *cluster) startPolynic() *harness.Node {
	c.t.Helper()
	startEtcd(c.t)
	n := harness.NewNode(c.t, func(to *config.Config) {
		to.NodeName = c.node.Name
		to.StateDir, to.RunDir = "/var/lib/polynic", "/run/polynic"
		to.PodSource, to.Kubernetes.Kubeconfig = "kubernetes", c.Kubeconfig("admin", "system:masters")
		to.NodeID, to.Network.Subnets = 0, nil
		for cidr := range strings.SplitSeq(controlplane.PodRanges, ",") {
			to.Network.Subnets = append(to.Network.Subnets, config.Subnet{CIDR: netip.MustParsePrefix(cidr)})
		}
		to.Memif.Enabled, to.Memif.KubeletDir = true, "/var/lib/kubelet"
		to.Etcd.Endpoints = []string{"http://" + etcdAddress}
	})
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	c.install(harness.Bin("polynic-cni"))
	return n
}

// polynicConf is where the plugin's configuration is.
var polynicConf = filepath.Join(kubenode.PluginConfDir, "10-polynic.conflist")

// install puts the plugin and its configuration where containerd looks.
func (c *cluster) install(plugin string) {
	c.t.Helper()
	data, err := os.ReadFile(plugin)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kubenode.PluginDir, "polynic-cni"), data, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(polynicConf, []byte(`{"cniVersion": "1.1.0", "name": "polynic", "plugins": [
		{"type": "polynic-cni"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}`), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// needPrograms ends the test where nobody said which programs to test.
func needPrograms(t *testing.T) {
	t.Helper()
	if !harness.Built() {
		t.Fatal("POLYNIC_TEST_BIN does not say where the programs are; use make test-cluster")
	}
}

// manifest reads one of the manifests of the tests.
func manifest(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

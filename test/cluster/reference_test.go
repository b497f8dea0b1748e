// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/kubenode"
)

// Should this fail, it is the cluster that does not work, not the product.
func TestClusterWorksWithReferencePlugins(t *testing.T) {
	c := startCluster(t)
	if err := os.WriteFile(filepath.Join(kubenode.PluginConfDir, "10-bridge.conflist"), []byte(`{"cniVersion":"1.0.0","name":"bridge","plugins":[
		{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
		 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.node.WaitReady()
	c.Apply(`{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: c, image: shell}]}}`)
	c.waitPods(1)
	if out := c.exec("one", "ip", "addr", "show", "eth0"); !strings.Contains(out, "inet 10.1.1.") {
		t.Errorf("eth0 of the pod:\n%s", out)
	}
}

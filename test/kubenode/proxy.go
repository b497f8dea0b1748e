// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"fmt"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
)

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %q}
hostnameOverride: %s
clusterCIDR: %s
nodePortAddresses: [` + UplinkAddress + `/32, "` + UplinkAddress6 + `/128", ` + DocumentsAddress + `/32]
healthzBindAddress: ""
metricsBindAddress: ""
# The limits are the machine's, not the namespace's.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {syncPeriod: 30s, minSyncPeriod: 100ms}
`

func (n *Node) configureProxy() {
	n.t.Helper()
	config := n.config.Plane.Kubeconfig("system:kube-proxy")
	n.write("/etc/kubernetes/kube-proxy.yaml", fmt.Sprintf(proxyConfig, config, n.Name, controlplane.PodRanges))
	n.proxy = harness.Program{
		Path: kubebin.Need(n.t, "kube-proxy"), Log: n.log("kube-proxy"), Args: []string{"--config=/etc/kubernetes/kube-proxy.yaml"},
	}
}

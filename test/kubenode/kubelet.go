// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"crypto/x509/pkix"
	"fmt"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
)

// ClusterDNS is the address that pods ask for names, and ClusterDomain where the
// names of Services are.
const (
	ClusterDNS    = "10.96.0.10"
	ClusterDomain = "cluster.local"
)

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %q}}
authorization: {mode: Webhook}
tlsCertFile: %q
tlsPrivateKeyFile: %q
containerRuntimeEndpoint: unix://` + RuntimeSocket + `
clusterDNS: [` + ClusterDNS + `]
clusterDomain: ` + ClusterDomain + `
resolvConf: /etc/kubernetes/resolv.conf
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
enforceNodeAllocatable: []
# The disk is memory: nobody is evicted from it, no image is swept off it.
localStorageCapacityIsolation: false
evictionHard: {memory.available: 1Mi, nodefs.available: 0%%, imagefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.inodesFree: 0%%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
serializeImagePulls: false
# Bursts of pods are limited by the machine alone.
maxPods: 250
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 500
kubeAPIBurst: 1000
healthzPort: 0
nodeStatusUpdateFrequency: 4s
volumeStatsAggPeriod: -1s
`

func (n *Node) configureKubelet() {
	t, plane := n.t, n.config.Plane
	t.Helper()
	cert, key := plane.Certificate("kubelet-server", pkix.Name{CommonName: n.Name}, n.Name, n.Address.String())
	n.write("/etc/kubernetes/resolv.conf", "nameserver 192.0.2.53\n") // one that nobody has
	n.write("/etc/kubernetes/kubelet.yaml", fmt.Sprintf(kubeletConfig, plane.CA(), cert, key))
	n.kubelet = harness.Program{
		Path: kubebin.Need(t, "kubelet"), Log: n.log("kubelet"),
		Args: []string{
			"--config=/etc/kubernetes/kubelet.yaml", "--root-dir=/var/lib/kubelet",
			"--kubeconfig=" + plane.Kubeconfig("system:node:"+n.Name, "system:nodes"),
			"--hostname-override=" + n.Name, "--node-ip=" + UplinkAddress + "," + UplinkAddress6,
		},
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/kubenode"
)

// corefile is CoreDNS's configuration: its address, the domain, and a kubeconfig.
const corefile = `.:53 {
	bind %s
	errors
	kubernetes %s in-addr.arpa ip6.arpa {
		kubeconfig %s
		ttl 1
	}
}
`

const dnsService = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: %s
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: [%q]}]
`

// startDNS runs the cluster's name server on the node, until the end of the test,
// and makes its Service.
func (c *cluster) startDNS() {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "Corefile")
	text := fmt.Appendf(nil, corefile, kubenode.UplinkAddress, kubenode.ClusterDomain, c.Kubeconfig("admin", "system:masters"))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	harness.Program{Path: kubebin.Need(c.t, "dns"), Args: []string{"-conf", path}, Log: filepath.Join(c.Dir, "dns.log")}.Start(c.t)
	c.Apply(fmt.Sprintf(dnsService, kubenode.ClusterDNS, kubenode.UplinkAddress))
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
)

// role is what docs/configuration.md says that the API server must allow for pods
// and the node.
const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [pods, nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: polynic}]
`

const realNode = `
apiVersion: v1
kind: Node
metadata: {name: node1}
spec: {podCIDR: 10.244.3.0/24, podCIDRs: [10.244.3.0/24, "fd00:10:244:3::/64"]}
`

func manifest(name, annotation string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {contivpp.io/custom-if: %q}}
spec: {nodeName: node1, containers: [{name: c, image: none}]}
`, name, annotation)
}

// TestRealAPIServer: an agent that may do no more than it is documented to need,
// at an API server that is killed while a pod talks.
func TestRealAPIServer(t *testing.T) {
	plane := controlplane.Start(t, controlplane.Config{})
	n := harness.NewNode(t, func(c *config.Config) {
		c.PodSource, c.Kubernetes.Kubeconfig = "kubernetes", plane.Kubeconfig("polynic")
		c.NodeID, c.Network.Subnets = 0, nil
	})
	n.StartRelay()
	n.StartAgent()
	harness.Eventually(t, 20*time.Second, func() error {
		status, err := n.Status()
		if err == nil && !strings.Contains(fmt.Sprint(status.Problems), "forbidden") {
			err = fmt.Errorf("problems: %v", status.Problems)
		}
		return err
	})
	plane.Kubectl("create", "serviceaccount", "default")
	plane.Apply(role + "---" + realNode)
	harness.Eventually(t, time.Minute, func() error { return n.CNIStatus() })
	plane.Apply(manifest("a", "tap1/tap, veth1/veth") + "---" + manifest("b", "tap1/tap, veth1/veth"))
	uid := func(name string) string { return plane.Kubectl("get", "pod", name, "-o", "jsonpath={.metadata.uid}") }
	a, b := n.Sandbox("a", uid("a")), n.Sandbox("b", uid("b"))
	_, result := a.MustAdd(), b.MustAdd()
	flow := harness.UDP(t, a.Netns, b.Netns, harness.IP(result, "tap1", 0), losslessRate)

	plane.StopServer()
	c := n.Sandbox("b", b.UID) // as after a crash of b's sandbox
	c.MustAdd()
	c.MustDel()
	_, err := n.Sandbox("b", "other").Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "the API server does not tell")
	n.RestartAgent()
	expectWired(t, b, result)
	plane.StartServer()
	plane.Apply(manifest("d", "tap1/tap"))
	d := n.Sandbox("d", uid("d"))
	d.MustAdd()

	if got := flow.Stop(); got.Lost() != 0 || got.Received == 0 {
		t.Errorf("%d of %d datagrams lost", got.Lost(), got.Sent)
	}
	for _, p := range []*harness.Pod{a, b, d} {
		p.MustDel()
	}
}

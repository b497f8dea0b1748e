// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"time"

	"github.com/polynic/polynic/test/controlplane"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 0
  selector: {matchLabels: {app: many}}
  template:
    metadata:
      labels: {app: many}
      annotations: {contivpp.io/custom-if: "tap1/tap, veth1/veth, memif1/memif, tap2/tap/stub"}
    spec:
      containers:
      - name: shell
        image: shell
        resources: {limits: {contivpp.io/memif: 1}}
`

// scale has twenty pods come and go, and nothing is left of them.
func (s suite) scale() {
	const replicas = 20
	baseline := s.agent.MustLook()
	before := namespaces()
	s.Apply(deployment)
	begin := time.Now()
	s.Kubectl("scale", "deployment", "many", fmt.Sprint("--replicas=", replicas))
	s.waitPods(replicas, "-l", "app=many")
	s.t.Logf("%d pods with 5 interfaces each are ready after %s", replicas, time.Since(begin).Round(10*time.Millisecond))
	if have := len(s.interfaces()); have != replicas*5 {
		s.t.Errorf("%d interfaces, want %d", have, replicas*5)
	}
	begin = time.Now()
	s.Kubectl("scale", "deployment", "many", "--replicas=0")
	s.Kubectl("wait", "--for=delete", "pod", "-l", "app=many", "--timeout=2m")
	s.t.Logf("they are gone after %s", time.Since(begin).Round(10*time.Millisecond))
	s.expectClean(baseline)
	controlplane.Eventually(s.t, time.Minute, func() error {
		if now := namespaces(); now != before {
			return fmt.Errorf("the runtime's namespaces: %s, before %s", now, before)
		}
		return nil
	})
	s.Kubectl("delete", "deployment", "many")
}

// namespaces lists those that are pinned on the node.
func namespaces() string {
	entries, err := os.ReadDir("/run/netns")
	return fmt.Sprint(entries, err)
}

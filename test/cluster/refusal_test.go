// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
)

// refusals are pods that ask for what cannot be given: an event of the agent says
// which interface and why, and they start once that is mended.
func (s suite) refusals() {
	for _, part := range []struct{ name, asks, says string }{
		{"no-such-network", "tap1/tap/nowhere", "nowhere"},
		{"no-such-type", "tap1/tun", "tap1"},
		{"no-resource", "memif1/memif", "memif devices"},
		{"same-name-twice", "tap1/tap, tap1/veth", "tap1"},
	} {
		s.t.Run(part.name, func(t *testing.T) {
			s.Apply(shellPod(part.name, part.asks))
			begin := time.Now()
			controlplane.Eventually(t, harness.Patience(5*time.Second), func() error {
				out, err := s.TryKubectl("get", "events", "--field-selector", "reason=InterfaceRefused,involvedObject.name="+part.name,
					"-o", `jsonpath={range .items[*]}{.message}{"\n"}{end}`)
				if err == nil && !strings.Contains(out, part.says) {
					err = fmt.Errorf("no event says %q:\n%s", part.says, out)
				}
				return err
			})
			t.Logf("the event is there %s after the pod was applied", time.Since(begin).Round(10*time.Millisecond))
			begin = time.Now()
			s.Kubectl("annotate", "--overwrite", "pod", part.name, "contivpp.io/custom-if=tap1/tap")
			s.waitPods(1, "-l", "app="+part.name)
			t.Logf("it is ready %s after it was mended", time.Since(begin).Round(10*time.Millisecond))
			s.exec(part.name, "ip", "link", "show", "tap1")
			s.Kubectl("delete", "pod", part.name)
		})
	}
}

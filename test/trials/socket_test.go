// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"os"
	"testing"

	"github.com/polynic/polynic/test/harness"
)

// TestRemovedSocketsComeBack: an agent whose sockets somebody removes is found
// again without a new start.
func TestRemovedSocketsComeBack(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	agent := n.Agent.PID()
	for _, path := range []string{n.Config.CNISocket(), n.Config.InspectSocket()} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	n.WaitReady()
	pod := n.Pod(mixed)
	harness.Eventually(t, harness.Patience(waitForPod), n.CNIStatus)
	expectWired(t, pod, pod.MustAdd())
	pod.MustDel()
	n.ExpectClean(baseline)
	if n.Agent.PID() != agent {
		t.Error("the agent was started anew")
	}
}

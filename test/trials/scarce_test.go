// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"testing"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/test/harness"
)

// TestAddWithoutFiles has agent and relay run out of file descriptors at every
// place of an ADD in turn, by allowing one more each time: the pod is wired or
// refused with a reason, and nothing is left either way. Both processes live on.
func TestAddWithoutFiles(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	agent, relay := n.Agent.PID(), n.RelayWorker()
	for name, pid := range map[string]int{"agent": agent, "relay": relay} {
		refused := 0
		for more := range 40 {
			pod := n.Pod(mixed)
			err := addWithin(t, pod, harness.LimitFiles(t, pid, more))
			if err != nil {
				refused++
				expectRefused(t, err, cniwire.CodeTryAgainLater, "too many open files", "polynic-"+name+" may have")
				n.ExpectClean(baseline)
			}
			expectWired(t, pod, pod.MustAdd()) // the same again, or another attempt
			pod.MustDel()
			n.ExpectClean(baseline)
			expectEmptied(t, n, pod)
			pod.Destroy()
			if t.Failed() {
				t.Fatalf("%s: %d more descriptors, and ADD said %v", name, more, err)
			}
			if err == nil && more > 8 {
				break
			}
		}
		t.Logf("%s: refused %d times", name, refused)
		if refused == 0 {
			t.Errorf("%s never ran out of descriptors", name)
		}
	}
	if n.Agent.PID() != agent || n.RelayWorker() != relay {
		t.Error("agent or relay were started anew")
	}
}

// addWithin is ADD under a limit, which is lifted when it has ended, or waits.
func addWithin(t *testing.T, pod *harness.Pod, lift func()) error {
	t.Helper()
	patience := harness.Patience(500 * time.Millisecond)
	added := make(chan error, 1)
	go func() {
		_, err := pod.Add()
		added <- err
	}()
	select {
	case err := <-added:
		lift()
		return err
	case <-time.After(patience):
		lift()
		return <-added
	}
}

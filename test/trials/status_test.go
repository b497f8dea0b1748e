// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// TestStatus: STATUS answers within a second whoever is away, and fails only
// once that has lasted.
func TestStatus(t *testing.T) {
	const limit = 2 * time.Second
	n := harness.NewNode(t, func(c *config.Config) { c.AwayLimit.Duration = limit })
	expectRefused(t, n.CNIStatus(), cniwire.CodeNotAvailable, "polynic-agent", "never ready")
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	for _, c := range []struct {
		name       string
		away, back func()
		code       cniwire.Code
	}{
		{"agent", n.Agent.Kill, n.StartAgent, cniwire.CodeNotAvailable},
		{"hanging agent", func() { n.Agent.Freeze() }, func() { n.Agent.Thaw() }, cniwire.CodeNotAvailable},
		{"relay", n.Relay.Kill, n.StartRelay, cniwire.CodeLimited},
	} {
		statusIs(t, n, waitForPod, 0)
		c.away()
		gone := time.Now()
		if err := n.CNIStatus(); err != nil {
			t.Errorf("%s away for a moment: %v", c.name, err)
		}
		statusIs(t, n, 3*limit, c.code)
		// The agent says that it is there five times per limit.
		if early := time.Since(gone); early < limit-limit/5 {
			t.Errorf("%s away for %v only, and STATUS fails", c.name, early)
		}
		c.back()
		statusIs(t, n, waitForPod, 0)
	}
}

// statusIs waits until STATUS says so, 0 being that all is well. Every answer
// must come within a second.
func statusIs(t *testing.T, n *harness.Node, within time.Duration, code cniwire.Code) {
	t.Helper()
	harness.Eventually(t, harness.Patience(within), func() error {
		err := n.CNIStatus()
		if err != nil && harness.CodeOf(err) == 0 {
			t.Fatal(err)
		}
		if harness.CodeOf(err) != uint(code) {
			return fmt.Errorf("STATUS says %w, want code %d", err, code)
		}
		return nil
	})
}

// TestStatusOfAStart: an agent that cannot read its pods says so, in STATUS and
// to people, and does what was deleted meanwhile once it can.
func TestStatusOfAStart(t *testing.T) {
	const limit = time.Second
	n := harness.NewNode(t, func(c *config.Config) { c.AwayLimit.Duration = limit })
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	baseline := n.MustLook()
	pod := n.Pod(mixed)
	pod.MustAdd()
	n.Agent.Kill()
	pods := strings.TrimPrefix(n.Config.PodSource, "dir:")
	if err := os.Rename(pods, pods+".away"); err != nil {
		t.Fatal(err)
	}
	n.StartAgent()
	statusIs(t, n, 3*limit, cniwire.CodeNotAvailable)
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		status, err := n.Status()
		if err == nil && (status.Ready || len(status.Problems) == 0 || !strings.Contains(status.Problems[0].Reason, "not ready until the pods are listed")) {
			err = fmt.Errorf("problems %v", status.Problems)
		}
		return err
	})
	expectRefused(t, n.CNIStatus(), cniwire.CodeNotAvailable, "not ready until the pods are listed", pods)
	pod.MustDel()
	if err := os.Rename(pods+".away", pods); err != nil {
		t.Fatal(err)
	}
	n.WaitReady()
	n.ExpectClean(baseline)
}

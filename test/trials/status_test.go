// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
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

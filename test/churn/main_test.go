// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package churn holds the trial of many at once: agent and relay, built with
// the race detector, while pods come and go as fast as they can.
package churn

import (
	"os"
	"os/exec"
	"testing"

	"github.com/polynic/polynic/test/harness"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if _, err := exec.LookPath("gcc"); err == nil { // the race detector needs one to be built
		if err := os.Setenv(harness.RaceEnv, "1"); err != nil {
			return 1
		}
	}
	return harness.Main(m)
}

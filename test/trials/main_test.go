// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package trials holds the reliability trials: the real programs on the real
// kernel, killed, starved and lied to. After each trial everything that could
// be left behind is counted.
package trials

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// rounds is how often a race is tried.
var rounds = flag.Int("rounds", 2, "how often each race is tried")

// mixed is an annotation with every kind of interface.
const mixed = "tap1/tap, veth1/veth, tap2/tap/stub, veth2/veth/stub, tap3/tap"

// waitForPod bounds what follows a DEL, or a change of a manifest.
const waitForPod = 2 * time.Second

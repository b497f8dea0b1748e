// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/vpp"
)

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

func TestServer(t *testing.T) {
	defer goleak.VerifyNone(t)
	vpptest.Run(t, func(t testing.TB) string {
		t.Helper()
		return vpptest.Start(t, vpptest.Config{}).Socket
	})
}

// With vhost-net more of the script is run.
func TestServerWithTaps(t *testing.T) {
	defer goleak.VerifyNone(t)
	vpptest.Run(t, func(t testing.TB) string {
		t.Helper()
		return vpptest.Start(t, vpptest.Config{VhostNet: true}).Socket
	})
}

func TestVPP(t *testing.T) {
	vpptest.Run(t, func(t testing.TB) string {
		t.Helper()
		return vpp.Start(t, vpp.Config{}).API
	})
}

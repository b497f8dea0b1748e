// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/testpmd"
)

// pmd describes a testpmd with one memif port.
type pmd struct {
	device string   // arguments of net_memif0 after role and socket
	eal    []string // more arguments of DPDK
	app    []string // more arguments of testpmd
}

// startPMD starts a testpmd, and waits for its prompt. role is client or
// server.
func startPMD(t testing.TB, role, socket string, p pmd) *testpmd.Process {
	t.Helper()
	abstract := "no"
	if name, ok := strings.CutPrefix(socket, "@"); ok {
		abstract, socket = "yes", name
	}
	port := fmt.Sprintf("role=%s,socket=%s,socket-abstract=%s%s", role, socket, abstract, p.device)
	return testpmd.Start(t, testpmd.Config{Ports: []string{port}, EAL: p.eal, App: p.app})
}

// forward starts its forwarding when it is connected.
func forward(t testing.TB, p *testpmd.Process, i *memif.Interface, mode string) {
	t.Helper()
	connected(t, i)
	p.Forward(t, mode)
}

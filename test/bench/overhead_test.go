// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

// bareCalls is P2: an ADD against the calls that it cannot do without and one
// exec, and polynic-cni's start against an empty program's.
func bareCalls(t *testing.T, s *sheet) {
	t.Helper()
	empty := emptyProgram(t)
	n, b := startNode(t), newBare(t)
	whole, agent := &arm{name: "polynic"}, &arm{name: "agent"}
	floor, calls := &arm{name: "calls and exec"}, &arm{name: "calls"}
	ours, theirs := n.pool(s.pairs+1), n.pool(s.pairs)
	n.mustAdd(ours[s.pairs])
	for i := range s.pairs {
		whole.took(n.mustAdd(ours[i]))
		agent.took(n.agentTook("ADD", ours[i]))

		ns := open(t, theirs[i])
		started := execTime(t, empty)
		begin := time.Now()
		err := b.add(ns)
		took := time.Since(begin)
		if err != nil {
			t.Fatal(err)
		}
		calls.took(took)
		floor.took(took + started)
	}
	for i := range s.pairs { // the bare taps have no relay behind them
		expectAnswers(t, open(t, theirs[i]), map[string]string{"eth0": gateway, "veth1": gateway, "veth2": gateway})
		expectAnswers(t, open(t, ours[i]), map[string]string{"eth0": gateway, "tap1": gateway, "veth1": gateway})
	}
	s.ratio("P2 ADD vs the bare calls and an empty exec", whole.median()/floor.median(), atMost(1.5), "ms", whole, floor)
	s.ratio("P2 the agent's part of ADD vs the bare calls", agent.median()/calls.median(), atMost(1.3), "ms", agent, calls)

	version, nothing := &arm{name: "polynic-cni VERSION"}, &arm{name: "empty program"}
	for range 5 * s.pairs {
		version.took(execTime(t, harness.Bin("polynic-cni"), "CNI_COMMAND=VERSION"))
		nothing.took(execTime(t, empty))
	}
	s.ratio("P2 exec of polynic-cni vs an empty Go program", version.median()/nothing.median(), atMost(1.5), "ms", version, nothing)
}

// emptyProgram builds the least that a Go program can be, as ours are built.
func emptyProgram(t *testing.T) string {
	t.Helper()
	source, program := filepath.Join(t.TempDir(), "empty.go"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	return program
}

// execTime runs a program as libcni runs a plugin.
func execTime(t *testing.T, program string, environment ...string) time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin = bytes.NewBufferString(`{"cniVersion":"1.1.0"}`)
	cmd.Stdout, cmd.Stderr = &bytes.Buffer{}, &bytes.Buffer{}
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return took
}

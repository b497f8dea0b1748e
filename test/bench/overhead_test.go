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

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// bareCalls is P2: an ADD against the calls that it cannot do without and one
// exec, and polynic-cni's start against an empty program's.
func bareCalls(t *testing.T, s *sheet) {
	t.Helper()
	empty := emptyProgram(t)
	n, b := startNode(t), newBare(t)
	whole, agent := &figure.Arm{Name: "polynic"}, &figure.Arm{Name: "agent"}
	floor, calls := &figure.Arm{Name: "calls and exec"}, &figure.Arm{Name: "calls"}
	ours, theirs := n.pool(s.pairs+1), n.pool(s.pairs)
	n.mustAdd(ours[s.pairs])
	for i := range s.pairs {
		whole.Took(n.mustAdd(ours[i]))
		agent.Took(n.agentTook("ADD", ours[i]))

		ns := open(t, theirs[i])
		started := execTime(t, empty)
		begin := time.Now()
		err := b.add(ns)
		took := time.Since(begin)
		if err != nil {
			t.Fatal(err)
		}
		calls.Took(took)
		floor.Took(took + started)
	}
	for i := range s.pairs { // the bare taps have no relay behind them
		expectAnswers(t, open(t, theirs[i]), map[string]string{"eth0": gateway, "veth1": gateway, "veth2": gateway})
		expectAnswers(t, open(t, ours[i]), map[string]string{"eth0": gateway, "tap1": gateway, "veth1": gateway})
	}
	s.Ratio("P2 ADD vs the bare calls and an empty exec", whole.Median()/floor.Median(), figure.AtMost(1.5), "ms", whole, floor)
	s.Ratio("P2 the agent's part of ADD vs the bare calls", agent.Median()/calls.Median(), figure.AtMost(1.3), "ms", agent, calls)

	version, nothing := &figure.Arm{Name: "polynic-cni VERSION"}, &figure.Arm{Name: "empty program"}
	for range 5 * s.pairs {
		version.Took(execTime(t, harness.Bin("polynic-cni"), "CNI_COMMAND=VERSION"))
		nothing.Took(execTime(t, empty))
	}
	s.Ratio("P2 exec of polynic-cni vs an empty Go program", version.Median()/nothing.Median(), figure.AtMost(1.5), "ms", version, nothing)
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

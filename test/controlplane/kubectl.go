// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

// Kubectl runs kubectl as the administrator and gives what it prints.
func (p *Plane) Kubectl(args ...string) string {
	p.t.Helper()
	out, err := p.TryKubectl(args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// TryKubectl is Kubectl that may not succeed; the error has what kubectl
// complained of.
func (p *Plane) TryKubectl(args ...string) (string, error) {
	p.t.Helper()
	return output(p.Command(args...))
}

// Apply applies manifests.
func (p *Plane) Apply(manifests string) {
	p.t.Helper()
	if err := p.TryApply(manifests); err != nil {
		p.t.Fatal(err)
	}
}

// TryApply is Apply that may be refused.
func (p *Plane) TryApply(manifests string) error {
	p.t.Helper()
	cmd := p.Command("apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifests)
	_, err := output(cmd)
	return err
}

// Command is a call of kubectl by the administrator, not yet started.
func (p *Plane) Command(args ...string) *exec.Cmd {
	p.t.Helper()
	config := p.Kubeconfig("admin", "system:masters")
	cmd := exec.Command(p.kubectl, append([]string{"--kubeconfig", config}, args...)...)
	cmd.Env = append(cmd.Environ(), "HOME="+p.Dir) // where it keeps what it learnt of the API
	return cmd
}

// Eventually polls until the condition, for which kubectl is run, holds; a last
// look that fails is told by the error.
func Eventually(t testing.TB, limit time.Duration, condition func() error) {
	t.Helper()
	if err := Poll(limit, condition); err != nil {
		t.Fatalf("not within %s: %v", limit, err)
	}
}

// Poll is Eventually for those who decide themselves what a failure means.
func Poll(limit time.Duration, condition func() error) error {
	return harness.PollEvery(200*time.Millisecond, limit, condition)
}

func output(cmd *exec.Cmd) (string, error) {
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(cmd.Args[3:], " "), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return string(out), nil
}

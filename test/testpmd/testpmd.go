// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package testpmd runs DPDK's test application with memif ports, without huge
// pages, and types at its prompt.
package testpmd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polynic/polynic/test/need"
)

// patience is how long to wait for the next prompt.
const patience = 20 * time.Second

// Config describes a testpmd.
type Config struct {
	// Ports are the arguments of its net_memif devices, such as
	// role=client,socket=/tmp/s,socket-abstract=no,id=0.
	Ports []string
	// Lcores says which of its threads run where; by default one beside that of
	// the prompt, both on CPU 1.
	Lcores   string
	EAL, App []string // more arguments of DPDK, and of testpmd
	// Start starts the command elsewhere than in the network namespace of the
	// test, if it is set.
	Start func(start func() error) error
}

// Process is a running testpmd.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	chunks chan string // its output, piece by piece
	said   bytes.Buffer
}

// prefixes tells the testpmds of this process apart.
var prefixes atomic.Int64 //nolint:gochecknoglobals // names in the file system are global too

// Start starts a testpmd, and waits for its prompt. It is killed when the test
// ends; what it said is shown if the test failed.
func Start(t testing.TB, c Config) *Process {
	t.Helper()
	cmd := exec.Command(need.Command(t, need.Peers, "stdbuf"), c.arguments(t)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	start := c.Start
	if start == nil {
		start = func(f func() error) error { return f() }
	}
	if err := start(cmd.Start); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	p := &Process{cmd: cmd, stdin: stdin, chunks: make(chan string, 1000)}
	go p.listen(r)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("testpmd said:\n%s", p.said.String())
		}
	})
	p.prompt(t)
	return p
}

// arguments are those of stdbuf: what testpmd prints must not come after the next
// prompt.
func (c Config) arguments(t testing.TB) []string {
	t.Helper()
	lcores := c.Lcores
	if lcores == "" {
		lcores = "0@1,1@1"
	}
	args := []string{
		"-oL", need.Command(t, need.Peers, "dpdk-testpmd"),
		"--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "-m", "96", "--lcores", lcores,
		"--file-prefix", fmt.Sprintf("memif-%d-%d", os.Getpid(), prefixes.Add(1)),
	}
	for i, port := range c.Ports {
		args = append(args, "--vdev", fmt.Sprintf("net_memif%d,%s", i, port))
	}
	args = append(append(args, c.EAL...), "--", "-i", "--total-num-mbufs=8192")
	return append(args, c.App...)
}

func (p *Process) listen(r *os.File) {
	defer close(p.chunks)
	defer r.Close()
	b := make([]byte, 4096)
	for {
		n, err := r.Read(b)
		if err != nil {
			return
		}
		p.chunks <- string(b[:n])
	}
}

// prompt waits for the next prompt and gives what came before it.
func (p *Process) prompt(t testing.TB) string {
	t.Helper()
	start := p.said.Len()
	timeout := time.After(patience)
	for !strings.Contains(p.said.String()[start:], "testpmd> ") {
		select {
		case chunk, ok := <-p.chunks:
			if !ok {
				_ = p.cmd.Wait()
				t.Fatalf("testpmd has ended (%v):\n%s", p.cmd.ProcessState, p.said.String())
			}
			p.said.WriteString(chunk)
		case <-timeout:
			t.Fatalf("testpmd says nothing more:\n%s", p.said.String())
		}
	}
	return p.said.String()[start:]
}

// Do runs a command and gives its output.
func (p *Process) Do(t testing.TB, command string) string {
	t.Helper()
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		t.Fatalf("testpmd: %v", err)
	}
	return p.prompt(t)
}

// Forward starts forwarding in a mode. Its ports must be connected: DPDK 22.11
// may crash when it forwards while it is being connected.
func (p *Process) Forward(t testing.TB, mode string) {
	t.Helper()
	p.Do(t, "set fwd "+mode)
	p.Do(t, "start")
}

// LinkUp reports whether a port is connected.
func (p *Process) LinkUp(t testing.TB, port int) bool {
	t.Helper()
	return strings.Contains(p.Do(t, fmt.Sprint("show port info ", port)), "Link status: up")
}

// Count is a counter of "show port stats" of a port.
func (p *Process) Count(t testing.TB, port int, name string) int {
	t.Helper()
	out := p.Do(t, fmt.Sprint("show port stats ", port))
	m := regexp.MustCompile(regexp.QuoteMeta(name) + `: +(\d+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no %s in %s", name, out)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends it as kill -9 does.
func (p *Process) Kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	for chunk := range p.chunks {
		p.said.WriteString(chunk)
	}
	_ = p.cmd.Wait()
}

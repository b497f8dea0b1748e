// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bufio"
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

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/need"
)

// testpmd is DPDK's test application with one memif port.
type testpmd struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	chunks chan string // its output, piece by piece
	said   *bytes.Buffer
}

// pmd describes a testpmd.
type pmd struct {
	device string   // arguments of net_memif0 after role and socket
	eal    []string // more arguments of DPDK
	app    []string // more arguments of testpmd
}

// Each testpmd of this process needs a prefix of its own.
var prefixes atomic.Int64

// startPMD starts a testpmd, and waits for its prompt. role is client or
// server.
func startPMD(t testing.TB, role, socket string, p pmd) *testpmd {
	t.Helper()
	path := need.Command(t, need.Peers, "dpdk-testpmd")
	abstract := "no"
	if name, ok := strings.CutPrefix(socket, "@"); ok {
		abstract, socket = "yes", name
	}
	args := append([]string{
		"--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "-m", "96", "--lcores", "0@1,1@1",
		"--file-prefix", fmt.Sprintf("memif-%d-%d", os.Getpid(), prefixes.Add(1)),
		"--vdev", fmt.Sprintf("net_memif0,role=%s,socket=%s,socket-abstract=%s%s", role, socket, abstract, p.device),
	}, p.eal...)
	args = append(append(args, "--", "-i", "--total-num-mbufs=8192"), p.app...)
	// What it prints must not come after the next prompt.
	cmd := exec.Command(need.Command(t, need.Peers, "stdbuf"), append([]string{"-oL", path}, args...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	pm := &testpmd{cmd: cmd, stdin: stdin, chunks: make(chan string, 1000), said: &bytes.Buffer{}}
	go pm.listen(r)
	t.Cleanup(func() {
		pm.kill()
		if t.Failed() {
			t.Logf("testpmd (%s) said:\n%s", role, pm.said)
		}
	})
	pm.prompt(t)
	return pm
}

func (p *testpmd) listen(r *os.File) {
	defer close(p.chunks)
	defer r.Close()
	in := bufio.NewReader(r)
	b := make([]byte, 4096)
	for {
		n, err := in.Read(b)
		if err != nil {
			return
		}
		p.chunks <- string(b[:n])
	}
}

// prompt waits for the next prompt and gives what came before it.
func (p *testpmd) prompt(t testing.TB) string {
	t.Helper()
	start := p.said.Len()
	timeout := time.After(2 * patience)
	for !strings.Contains(p.said.String()[start:], "testpmd> ") {
		select {
		case chunk, ok := <-p.chunks:
			if !ok {
				t.Fatalf("testpmd has ended:\n%s", p.said)
			}
			p.said.WriteString(chunk)
		case <-timeout:
			t.Fatalf("testpmd says nothing more:\n%s", p.said)
		}
	}
	return p.said.String()[start:]
}

// do runs a command and gives its output.
func (p *testpmd) do(t testing.TB, command string) string {
	t.Helper()
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		t.Fatalf("testpmd: %v", err)
	}
	return p.prompt(t)
}

// forward starts its forwarding when it is connected: DPDK 22.11 may crash when
// it forwards while it is being connected.
func (p *testpmd) forward(t testing.TB, i *memif.Interface, mode string) {
	t.Helper()
	connected(t, i)
	p.do(t, "set fwd "+mode)
	p.do(t, "start")
}

// count is a counter of "show port stats".
func (p *testpmd) count(t testing.TB, name string) int {
	t.Helper()
	out := p.do(t, "show port stats 0")
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

// kill ends it as kill -9 does.
func (p *testpmd) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	p.stdin.Close()
	for chunk := range p.chunks {
		p.said.WriteString(chunk)
	}
	_ = p.cmd.Wait()
}

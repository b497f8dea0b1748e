// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/netns"
)

// Flow is a stream of numbered UDP datagrams, or one TCP connection, between
// two pods.
type Flow struct {
	t            testing.TB
	source, sink *helper
}

// Report is how a flow fared.
type Report struct {
	// Sent and Received count datagrams, or bytes of a TCP connection.
	Sent, Received uint64
	// Seconds is how long the source of datagrams sent.
	Seconds float64
	// LongestGapMS is the longest time without an arrival, in milliseconds.
	LongestGapMS float64
}

// Lost is what did not arrive.
func (r Report) Lost() uint64 { return r.Sent - r.Received }

// Rate is how many datagrams were sent each second.
func (r Report) Rate() float64 { return float64(r.Sent) / max(r.Seconds, 1e-9) }

// UDP starts a flow of datagrams per second between two namespaces, to an
// address at which the sink listens.
func UDP(t testing.TB, from, to, address string, perSecond int) *Flow {
	t.Helper()
	return startFlow(t, "udp", way{from, to, address}, fmt.Sprint(perSecond))
}

// TCP starts one connection that is kept full.
func TCP(t testing.TB, from, to, address string) *Flow {
	t.Helper()
	return startFlow(t, "tcp", way{from, to, address}, "")
}

// way is from one namespace to an address in another.
type way struct{ from, to, address string }

func startFlow(t testing.TB, protocol string, w way, rate string) *Flow {
	t.Helper()
	sink := startHelper(t, w.to, protocol+"-sink", w.address, "")
	source := startHelper(t, w.from, protocol+"-source", sink.hello(t), rate)
	source.hello(t)
	return &Flow{t: t, source: source, sink: sink}
}

// Stop ends the flow, source first, and reports. A flow that broke fails the
// test.
func (f *Flow) Stop() Report {
	f.t.Helper()
	sent, received := f.source.finish(f.t), f.sink.finish(f.t)
	return Report{Sent: sent.Sent, Received: received.Received, Seconds: sent.Seconds, LongestGapMS: received.LongestGapMS}
}

// helper is a process in a traffic role: it says one line when it works, and
// reports in JSON once its standard input is closed.
type helper struct {
	role   string
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

func startHelper(t testing.TB, namespace, role, address, rate string) *helper {
	t.Helper()
	ns, err := netns.Open(namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Datagrams come at their rate, also where a TCP connection takes all that it gets;
	// that leaves to agent and relay what they need.
	niceness := "5"
	if strings.HasPrefix(role, "udp") {
		niceness = "-10"
	}
	cmd := exec.Command("nice", "-n", niceness, self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "ADDRESS="+address, "RATE="+rate)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &helper{role: role, cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
}

// hello waits until the role works; a sink says at which address.
func (h *helper) hello(t testing.TB) string {
	t.Helper()
	line, err := h.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", h.role, err)
	}
	return line[:len(line)-1]
}

func (h *helper) finish(t testing.TB) Report {
	t.Helper()
	if err := h.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.NewDecoder(h.stdout).Decode(&r); err != nil {
		t.Fatalf("%s: %v", h.role, err)
	}
	if err := h.cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", h.role, err)
	}
	return r
}

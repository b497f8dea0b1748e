// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/test/figure"
)

// memoryLimit is a control group, version 1, whose processes have so much memory
// and no more.
type memoryLimit string

const memoryGroups = "/sys/fs/cgroup/memory"

func newMemoryLimit(t *testing.T, name string, limit int) memoryLimit {
	t.Helper()
	dir := filepath.Join(memoryGroups, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := memoryLimit(dir)
	l.write(t, filepath.Join(dir, "memory.limit_in_bytes"), limit)
	return l
}

func (l memoryLimit) write(t *testing.T, path string, value int) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strconv.Itoa(value)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// within starts a program in the group: a process begins in the group of the
// thread that starts it.
func (l memoryLimit) within(t *testing.T, start func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.write(t, filepath.Join(string(l), "tasks"), unix.Gettid())
	defer l.write(t, filepath.Join(memoryGroups, "tasks"), unix.Gettid())
	start()
}

// value is the number that a file of the group has, after a key where there is
// one.
func (l memoryLimit) value(t *testing.T, file, key string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(string(l), file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, key); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
				return n
			}
		}
	}
	t.Fatalf("%s has no %q: %s", file, key, bytes.TrimSpace(data))
	return 0
}

// memory is what the agent needs in a burst, and what afterwards.
func (b *bench) memory(burst func()) {
	b.t.Helper()
	pid := strconv.Itoa(b.agent.Agent.PID())
	procs, err := os.ReadFile(filepath.Join(string(b.limit), "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(procs)) != pid {
		b.t.Fatalf("the agent, %s, is not in the group of %q: %v", pid, procs, err)
	}
	idle := b.anonymous()
	peak, stop, done := idle, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				peak = max(peak, b.anonymous())
			}
		}
	}()
	func() {
		defer func() {
			close(stop)
			<-done
		}()
		burst()
	}()
	steady := b.anonymous()
	b.Value(fmt.Sprintf("C2 agent's peak in a burst of %d pods vs after it", b.many), float64(peak)/float64(steady), "x", figure.AtMost(1.3))
	b.Value("C2 agents killed for want of memory", float64(b.limit.value(b.t, "memory.oom_control", "oom_kill ")), "", figure.AtMost(0))
	b.Note("RssAnon in MiB: before %.1f, peak %.1f, with the pods %.1f; in its control group at most %.1f of %.0f",
		figure.MiB(idle), figure.MiB(peak), figure.MiB(steady),
		figure.MiB(b.limit.value(b.t, "memory.max_usage_in_bytes", "")), figure.MiB(b.limit.value(b.t, "memory.limit_in_bytes", "")))
}

func (b *bench) anonymous() int {
	own, err := figure.Anonymous(b.agent.Agent.PID())
	if err != nil {
		b.t.Error(err)
	}
	return own
}

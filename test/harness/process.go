// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/busy"
)

// Process is a program under test. Its standard error goes to a file that is
// shown when the test fails.
type Process struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid once ended is closed
}

// Program is a program to start.
type Program struct {
	Path string
	Args []string
	// Env is added to the environment.
	Env []string
	// Log is the file that its standard error is appended to.
	Log string
	// Inside is the network namespace that it runs in; nil is the test's own.
	Inside *netns.Handle
	// Container is the one that it runs in; nil is none.
	Container *Container
}

// Start starts the program; it is killed, with its children, at the end of the
// test if it still runs.
func (p Program) Start(t testing.TB) *Process {
	t.Helper()
	file, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd, err := p.command()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, p.Env...)
	cmd.Stderr = file
	start := cmd.Start
	if p.Inside != nil {
		start = func() error { return p.Inside.Do(cmd.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	started := &Process{t: t, name: p.Path, cmd: cmd, ended: make(chan struct{})}
	go func() {
		started.err = cmd.Wait()
		close(started.ended)
	}()
	t.Cleanup(started.Kill)
	return started
}

// start runs a program in the node's namespace.
func (n *Node) start(log, program string, args ...string) *Process {
	n.TB.Helper()
	return Program{Path: program, Args: args, Env: n.Env, Log: filepath.Join(n.Dir, log), Inside: n.Inside, Container: n.containers[program]}.Start(n.TB)
}

// inside runs f in the node's namespace.
func (n *Node) inside(f func() error) error {
	if n.Inside == nil {
		return f()
	}
	return n.Inside.Do(f)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill sends SIGKILL to the process and its children and waits.
func (p *Process) Kill() {
	_ = unix.Kill(-p.PID(), unix.SIGKILL)
	<-p.ended
}

// KillAlone sends SIGKILL to the process and not to its children, and waits.
func (p *Process) KillAlone() {
	_ = unix.Kill(p.PID(), unix.SIGKILL)
	<-p.ended
}

// Stop sends SIGTERM and waits; an exit code other than 0 fails the test.
func (p *Process) Stop() {
	p.t.Helper()
	_ = unix.Kill(p.PID(), unix.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Errorf("%s ended with %v", p.name, p.err)
		}
	case <-time.After(15 * time.Second):
		p.t.Errorf("%s does not stop", p.name)
		p.Kill()
	}
}

// Eventually polls until the condition holds; a last look that fails is told
// by the error.
func Eventually(t testing.TB, limit time.Duration, condition func() error) {
	t.Helper()
	if err := Poll(limit, condition); err != nil {
		t.Fatalf("not within %s: %v", limit, err)
	}
}

// Patience stretches a limit that holds for a machine of one's own by the load
// per core: all namespaces of a machine share the kernel's one lock of network
// devices, and others may be at it.
func Patience(limit time.Duration) time.Duration { return busy.Stretch(limit) }

// Poll is Eventually for those who decide themselves what a failure means.
func Poll(limit time.Duration, condition func() error) error {
	return PollEvery(2*time.Millisecond, limit, condition)
}

// PollEvery is Poll for conditions that are costly to look at.
func PollEvery(interval, limit time.Duration, condition func() error) error {
	deadline := time.After(limit)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("%w", err)
		case <-tick.C:
		}
	}
}

// KillRelayWorker sends SIGKILL to the relay's worker, whose parent starts
// another at once.
func (n *Node) KillRelayWorker() {
	n.TB.Helper()
	Eventually(n.TB, 10*time.Second, func() error {
		worker, err := child(n.Relay.PID())
		if err == nil {
			err = unix.Kill(worker, unix.SIGKILL)
		}
		return err
	})
}

// RelayWorker is the process id of the relay's worker.
func (n *Node) RelayWorker() (worker int) {
	n.TB.Helper()
	Eventually(n.TB, 10*time.Second, func() (err error) {
		worker, err = child(n.Relay.PID())
		return err
	})
	return worker
}

// child finds a child of a process, whichever of its threads started it.
func child(pid int) (int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, fmt.Errorf("children: %w", err)
	}
	for _, path := range lists {
		var first int
		if list, err := os.ReadFile(path); err == nil {
			if _, err := fmt.Sscan(string(list), &first); err == nil {
				return first, nil
			}
		}
	}
	return 0, fmt.Errorf("process %d has no child", pid)
}

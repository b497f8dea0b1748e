// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/test/need"
)

// The test binary plays the program that waits at the gate, and the one whose
// first thread ends.
func TestMain(m *testing.M) {
	if os.Getenv("HEADLESS") != "" {
		headless()
	}
	if argv := strings.Fields(os.Getenv("BECOME")); len(argv) > 0 {
		if err := process.Become(argv); err != nil {
			os.Exit(3)
		}
	}
	goleak.VerifyTestMain(m)
}

// start runs a command that says when it is ready, and returns it reaped in
// the background.
func start(t *testing.T, command *exec.Cmd) process.ID {
	t.Helper()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the command said %q (%v), want ready", line, err)
	}
	id, err := process.Of(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	go func() { defer close(reaped); _ = command.Wait() }()
	t.Cleanup(func() { _ = id.Signal(syscall.SIGKILL); <-reaped })
	return id
}

func TestStopAsksFirst(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "asked")
	script := "trap 'touch " + mark + "; exit' TERM; echo ready; while :; do sleep 0.05; done"
	id := start(t, exec.CommandContext(t.Context(), "sh", "-c", script))
	if err := id.Stop(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("the process was not asked to end: %v", err)
	}
	if id.Alive() {
		t.Error("the process lives on")
	}
	if err := id.Stop(t.Context(), time.Second); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

func TestStopKillsTheDeaf(t *testing.T) {
	id := start(t, exec.CommandContext(t.Context(), "sh", "-c", "trap '' TERM; echo ready; exec sleep 600"))
	if err := id.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("the process lives on")
	}
}

// The first process of a pid namespace never sees a SIGTERM that it does not
// handle, so the grace is not waited for.
func TestStopDoesNotWaitInVain(t *testing.T) {
	need.Root(t)
	command := exec.CommandContext(t.Context(), "sh", "-c", "echo ready; exec sleep 600")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	id := start(t, command)
	before := time.Now()
	if err := id.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > 10*time.Second {
		t.Errorf("stopped after %v", took)
	}
}

func TestAnotherProcessIsNeverSignalled(t *testing.T) {
	id := start(t, exec.CommandContext(t.Context(), "sh", "-c", "echo ready; exec sleep 600"))
	for name, other := range map[string]process.ID{
		"started at another time": {PID: id.PID, Start: id.Start + 1, Boot: id.Boot},
		"of another boot":         {PID: id.PID, Start: id.Start, Boot: "before"},
		"none at all":             {},
	} {
		if err := other.Signal(syscall.SIGKILL); !errors.Is(err, process.ErrGone) {
			t.Errorf("%s: signal: %v, want ErrGone", name, err)
		}
		if err := other.Wait(t.Context()); err != nil {
			t.Errorf("%s: wait: %v, want nil at once", name, err)
		}
		if err := other.Stop(t.Context(), time.Second); err != nil {
			t.Errorf("%s: stop: %v, want nil", name, err)
		}
	}
	if !id.Alive() {
		t.Error("the process was ended")
	}
}

func TestChildren(t *testing.T) {
	id := start(t, exec.CommandContext(t.Context(), "sh", "-c", "echo ready; exec sleep 600"))
	if list := process.Children(os.Getpid()); !slices.Contains(list, id) {
		t.Errorf("children %v, want %v among them", list, id)
	}
	if list := process.Children(id.PID); len(list) > 0 {
		t.Errorf("the child has children: %v", list)
	}
}

func TestWait(t *testing.T) {
	id := start(t, exec.CommandContext(t.Context(), "sh", "-c", "echo ready; exec sleep 600"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := id.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a living process: %v, want the deadline", err)
	}
	done := make(chan error, 1)
	go func() { done <- id.Wait(t.Context()) }()
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("wait for a dying process: %v", err)
	}
}

func gated(t *testing.T, mark string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), "BECOME="+need.Command(t, need.Kernel, "touch")+" "+mark)
	return command
}

func TestGateOpensOnceRecorded(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	var recorded process.ID
	command := gated(t, mark)
	err := process.StartGated(command, func(id process.ID) error {
		if _, err := os.Stat(mark); err == nil {
			t.Error("the program ran before it was recorded")
		}
		recorded = id
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if recorded.PID != command.Process.Pid {
		t.Errorf("recorded %d, want %d", recorded.PID, command.Process.Pid)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("the program: %v", err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("the program did not run: %v", err)
	}
}

func TestGateStaysShutWithoutARecord(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	want := errors.New("disk full")
	if err := process.StartGated(gated(t, mark), func(process.ID) error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the program ran without a record")
	}
}

// headless ends its first thread, says so, and goes on.
func headless() {
	tick := time.NewTicker(time.Millisecond)
	for range tick.C {
		if stat, err := os.ReadFile("/proc/self/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			break
		}
		go func() { // until one comes to run on the first thread
			runtime.LockOSThread()
			if unix.Gettid() == unix.Getpid() {
				_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
			}
			runtime.UnlockOSThread()
		}()
	}
	fmt.Println("ready")
	select {}
}

// The kernel shows a process whose first thread has ended as a zombie, however
// many others still run, and hold its locks and files.
func TestAProcessIsMoreThanItsFirstThread(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), "HEADLESS=1")
	id := start(t, command)
	if !id.Alive() {
		t.Error("it counts as dead")
	}
	if err := id.Stop(t.Context(), 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	if id.Alive() {
		t.Error("it lives on")
	}
}

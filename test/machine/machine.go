// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package machine runs a package's tests on what looks like a machine of their
// own: a process tree with namespaces of its own (mounts, network, processes,
// IPC, host name, control groups), over a copy of the root file system that is
// written to memory alone. So kubelet, containerd and the like can have their
// usual places, and whatever they make goes with the last process, also when
// the tests are killed.
package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/test/harness"
)

// stageEnv tells the test binary which part it plays: none is the one outside.
const stageEnv = "POLYNIC_TEST_MACHINE"

const (
	stageInit  = "init"  // the first process inside
	stageTests = "tests" // its child, which runs the tests
)

// Main replaces m.Run in TestMain. Without root the tests run as they are, and
// skip what they cannot do.
func Main(m *testing.M) int {
	if code, is := harness.Role(); is {
		return code
	}
	if os.Geteuid() != 0 {
		return m.Run()
	}
	run := outside
	switch os.Getenv(stageEnv) {
	case stageInit:
		run = first
	case stageTests:
		run = func() (int, error) {
			if err := furnish(); err != nil {
				return 1, err
			}
			return m.Run(), nil
		}
	}
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "machine:", err)
		return 1
	}
	return code
}

// outside starts the machine, waits for its end and takes its control groups
// away. Should it be killed, the machine ends with it.
func outside() (int, error) {
	groups, err := newGroups()
	if err != nil {
		return 1, err
	}
	defer groups.remove()
	runtime.LockOSThread() // the death signal comes with the thread's end
	defer runtime.UnlockOSThread()
	cmd := again(stageInit)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
	}
	cmd.Env = append(cmd.Env, groupEnv+"="+groups.name)
	err = cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// again is this test binary with the same arguments, in another stage.
func again(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// first is process 1: it enters the control groups, has the tests run, and
// collects the orphans of all others meanwhile. With it ends everything.
func first() (int, error) {
	if err := enterGroups(os.Getenv(groupEnv)); err != nil {
		return 1, err
	}
	cmd := again(stageTests)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWCGROUP}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == cmd.Process.Pid:
			return 1, fmt.Errorf("the tests were ended by %s", status.Signal())
		}
	}
}

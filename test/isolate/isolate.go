// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package isolate runs a package's tests in a network and a mount namespace of
// their own, so that whatever they make, also when they are killed, never
// touches the machine's and goes with the last process in it.
package isolate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mark tells the test binary that it runs inside.
const mark = "POLYNIC_TEST_ISOLATED"

// Main replaces m.Run in TestMain: it runs the same test binary again inside
// new namespaces, with loopback up, no mount shared with the outside and an
// empty /run/netns, and returns its exit code. Without root the tests run as
// they are, and skip what they cannot do.
func Main(m *testing.M) int {
	// A worker of the fuzzer is inside with the process that started it.
	if os.Geteuid() != 0 || slices.Contains(os.Args, "-test.fuzzworker") {
		return m.Run()
	}
	if os.Getenv(mark) != "" {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "isolate:", err)
			return 1
		}
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		fmt.Fprintln(os.Stderr, "isolate:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// /sys shows the network of the namespace it was mounted in.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run/netns: %w", err)
	}
	return LoopbackUp()
}

// LoopbackUp switches the loopback device of this network namespace on.
func LoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

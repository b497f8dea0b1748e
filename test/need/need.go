// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package need decides whether a test can run on this machine. A test may be
// skipped only where the machine truly lacks a part, with the reason said; the
// environment variable REQUIRE lists suites (kernel, peers, cluster, vpp, vm) whose
// parts must be there, and turns such a skip into a failure.
package need

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The suites that REQUIRE names.
const (
	Kernel  = "kernel"
	Peers   = "peers"
	Cluster = "cluster"
	Switch  = "vpp"
	Machine = "vm"
)

// Root needs what network namespaces need: uid 0 with CAP_SYS_ADMIN and
// CAP_NET_ADMIN.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lack(t, Kernel, "root is needed")
	}
	ns, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		Lack(t, Kernel, fmt.Sprintf("no network namespaces: %v", err))
	}
	defer unix.Close(ns)
	if err := capable(unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN); err != nil {
		Lack(t, Kernel, err.Error())
	}
}

// Tun needs tap devices.
func Tun(t testing.TB) {
	t.Helper()
	Root(t)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		Lack(t, Kernel, fmt.Sprintf("/dev/net/tun: %v", err))
	}
	unix.Close(fd)
}

// Command needs a program on PATH, and gives its path; suite is the one that
// REQUIRE must name for its absence to be a failure.
func Command(t testing.TB, suite, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lack(t, suite, fmt.Sprintf("%s is not installed (apt-get install it)", name))
	}
	return path
}

// VPP needs VPP, and gives the path of the program: that of POLYNIC_VPP, or of
// the one on PATH. vppctl is beside it.
func VPP(t testing.TB) string {
	t.Helper()
	Root(t)
	path := os.Getenv("POLYNIC_VPP")
	if path == "" {
		path = "vpp"
	}
	path, err := exec.LookPath(path)
	if err != nil {
		Lack(t, Switch, fmt.Sprintf("VPP: %v (POLYNIC_VPP may say where it is)", err))
	}
	return path
}

// File needs a file, such as a reference CNI plugin.
func File(t testing.TB, suite, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		Lack(t, suite, err.Error())
	}
}

// Lack skips the test for a reason, or fails it where REQUIRE names the suite.
func Lack(t testing.TB, suite, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("REQUIRE"), ","), suite) {
		t.Fatalf("REQUIRE=%s: %s", suite, reason)
	}
	t.Skip(reason)
}

func capable(capabilities ...int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for _, c := range capabilities {
		if data[c/32].Effective&(1<<(c%32)) == 0 {
			return fmt.Errorf("capability %d is needed", c)
		}
	}
	return nil
}

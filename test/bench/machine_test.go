// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine says on what the figures were measured. A load above 1 before
// the start makes them doubtful.
func (s *sheet) machine(t *testing.T) {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(s.out, "Linux %s, %d CPUs (%s), %s of memory, load %s, %s\n",
		unix.ByteSliceToString(name.Release[:]), runtime.NumCPU(), field("/proc/cpuinfo", "model name"),
		field("/proc/meminfo", "MemTotal"), load(), runtime.Version())
	iperf, _ := exec.Command("iperf3", "--version").Output()
	version, _, _ := strings.Cut(string(iperf), "\n")
	plugins, _ := exec.Command("dpkg-query", "--show", "--showformat", "${Package} ${Version}", "containernetworking-plugins").Output()
	fmt.Fprintf(s.out, "compared with: %s; %s\n", plugins, version)
}

// field is the first value that a file of /proc has for a key.
func field(path, key string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	found := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(key) + "[ \t]*:[ \t]*(.*)$").FindSubmatch(data)
	if found == nil {
		return "unknown"
	}
	return string(found[1])
}

// load is the average number of processes that wanted a CPU, over 1, 5 and 15
// minutes.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

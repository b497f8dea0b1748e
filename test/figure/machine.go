// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Machine says on what the figures were measured, and with which reference
// plugins they compare. A load above 1 before the start makes them doubtful.
func (s *Sheet) Machine(t testing.TB, others ...string) {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(s.Out, "Linux %s, %d CPUs (%s), %s of memory, load %s, %s\n",
		unix.ByteSliceToString(name.Release[:]), runtime.NumCPU(), field("/proc/cpuinfo", "model name"),
		field("/proc/meminfo", "MemTotal"), Load(), runtime.Version())
	plugins, _ := exec.Command("dpkg-query", "--show", "--showformat", "${Package} ${Version}", "containernetworking-plugins").Output()
	fmt.Fprintf(s.Out, "compared with: %s\n", strings.Join(append([]string{string(plugins)}, others...), "; "))
}

// Anonymous is what a process has of its own, in bytes: the anonymous part of
// its resident memory.
func Anonymous(pid int) (int, error) {
	text, _, _ := strings.Cut(field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Anonymous"), " ")
	kib, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return kib << 10, nil
}

// MiB is a number of bytes in mebibytes.
func MiB(bytes int) float64 { return float64(bytes) / (1 << 20) }

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

// Load is the average number of processes that wanted a CPU, over 1, 5 and 15
// minutes.
func Load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

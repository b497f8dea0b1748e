// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/need"
)

// offload is P7b: TCP between a memif and the kernel, in large frames as the
// relay has it against the same relay without: every packet goes through the tap
// on its own; and from kernel to kernel also against a bridge of the kernel's. It
// is the relay's own benchmark that is run, of which each run is a process with
// sender, relay and receiver, on all CPUs.
func offload(t *testing.T, s *sheet) {
	t.Helper()
	if _, err := exec.LookPath("ethtool"); err != nil {
		s.Skip("P7b", err)
	}
	need.Command(t, need.Kernel, "ethtool")
	program := filepath.Join(t.TempDir(), "rings.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, "github.com/polynic/polynic/internal/relay/rings")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", build, err, out)
	}
	const through = "through"
	for _, way := range []struct{ benchmark, name string }{
		{through, "kernel–memif–kernel"},
		{"to the application", "kernel–memif"},
		{"to the kernel", "memif–kernel"},
	} {
		whole, cut, bridge := &figure.Arm{Name: "with offload"}, &figure.Arm{Name: "without"}, &figure.Arm{Name: "bridge"}
		for range s.memifs {
			whole.Add(throughput(t, s, program, "TCP/"+way.benchmark+"/whole"))
			cut.Add(throughput(t, s, program, "TCP/"+way.benchmark+"/cut"))
			if way.benchmark == through {
				bridge.Add(throughput(t, s, program, "TCP/bridge"))
			}
		}
		if way.benchmark == through {
			s.Ratio("P7b TCP "+way.name+" with segmentation offload vs the kernel's bridge", whole.Median()/bridge.Median(), figure.AtLeast(0.35), "Gb/s", whole, bridge)
		}
		s.Ratio("P7b TCP "+way.name+" with segmentation offload vs without", whole.Median()/cut.Median(), figure.AtLeast(4), "Gb/s", whole, cut)
	}
}

// throughput runs a benchmark and gives its Gb/s.
func throughput(t *testing.T, s *sheet, program, name string) float64 {
	t.Helper()
	pattern := "^Benchmark" + strings.ReplaceAll(strings.ReplaceAll(name, " ", "_"), "/", "$/^") + "$"
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", (s.flow / 2).String())
	out, err := cmd.CombinedOutput()
	found := regexp.MustCompile(`([0-9.]+) MB/s`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	megabytes, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return megabytes * 8 / 1e3
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package bench measures the ratios that the project promises: the real
// programs, run as a container runtime runs them, against Debian's reference
// plugins and DPDK, the bare system calls, or a network made by hand, in one run
// on one machine. A figure is only printed and judged; slowness fails nothing, a
// ping that is not answered does.
//
// The arms of a figure take turns (A B A B), each in namespaces of its own that
// exist before the clock starts, and are compared by their medians.
package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
)

// figures is how thoroughly to measure. The ordinary tests only try whether
// everything can still be measured.
var figures = flag.String("figures", "trial", "how thoroughly to measure: trial, quick (two minutes) or full (some ten)")

// sheet is where figures are written, and how much is measured for them.
type sheet struct {
	size
	*figure.Sheet
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *figures != "trial" && !harness.Built() {
		fmt.Fprintln(os.Stderr, "bench: the programs have failpoints in them; use make bench")
		os.Exit(1)
	}
	os.Exit(harness.Main(m))
}

// TestFigures prints every figure. One alone: -run TestFigures/P7.
func TestFigures(t *testing.T) {
	need.Tun(t)
	how, ok := sizes()[*figures]
	if !ok {
		t.Fatalf("-figures %s: want trial, quick or full", *figures)
	}
	s := &sheet{size: how, Sheet: &figure.Sheet{Out: os.Stdout}}
	iperf, _ := exec.Command("iperf3", "--version").Output()
	version, _, _ := strings.Cut(string(iperf), "\n")
	s.Machine(t, version)
	for _, f := range []struct {
		name    string
		measure func(*testing.T, *sheet)
	}{
		{"P1", delegates},
		{"P2", bareCalls},
		{"P3", burst},
		{"P4", reap},
		{"P5", thousand}, // and what else needs 1,000 interfaces: P8, P10
		{"P5b", teardown},
		{"P6", crossConnect},
		{"P6b", victim},
		{"P7", traffic},
		{"P7b", offload},
		{"P9", vppReplay},
		{"P10", burstMemory},
		{"etcd", publishing},
	} {
		t.Run(f.name, func(t *testing.T) { f.measure(t, s) })
	}
	s.Sum()
}

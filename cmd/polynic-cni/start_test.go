// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/cniserver/recorder"
)

// TestBinaryStartsFast forbids the packages whose initialisation every pod
// would pay for.
func TestBinaryStartsFast(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(output)) {
		if slices.Contains([]string{"fmt", "net", "os", "reflect", "time", "unicode"}, dep) {
			t.Errorf("it imports %s", dep)
		}
	}
}

// BenchmarkExec runs an empty Go program and polynic-cni in turns and reports
// the ratio of their medians: VERSION is start-up alone, DEL goes to an agent
// that does nothing and back.
func BenchmarkExec(b *testing.B) {
	source := filepath.Join(b.TempDir(), "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := build(source, "empty"); err != nil {
		b.Fatal(err)
	}
	b.Run("VERSION", func(b *testing.B) { compareExec(b, "CNI_COMMAND=VERSION", `{"cniVersion":"1.1.0"}`) })
	b.Run("DEL", func(b *testing.B) {
		n := newNode(b)
		n.serve(b, &recorder.Recorder{})
		compareExec(b, delEnv, n.conf())
	})
}

func compareExec(b *testing.B, environment, stdin string) {
	b.Helper()
	var empty, ours []time.Duration
	for b.Loop() {
		empty = append(empty, timeExec(b, "empty", environment, stdin))
		ours = append(ours, timeExec(b, "polynic-cni", environment, stdin))
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2])
	}
	b.ReportMetric(median(empty)/1e3, "empty-µs")
	b.ReportMetric(median(ours)/1e3, "ours-µs")
	b.ReportMetric(median(ours)/median(empty), "ratio")
}

func timeExec(b *testing.B, name, environment, stdin string) time.Duration {
	b.Helper()
	command := exec.CommandContext(b.Context(), filepath.Join(binaries, name))
	command.Env = append(os.Environ(), strings.Fields(environment)...)
	command.Stdin = strings.NewReader(stdin)
	begin := time.Now()
	if err := command.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package harness is a node for tests: the real relay and agent as processes,
// the real CNI binary run by libcni, pods that are network namespaces, and a
// look at everything that can be left behind. It works in the namespace of the
// test process, which package isolate makes.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/polynic/polynic/test/isolate"
)

// RaceEnv has, when it is set, agent and relay built with the race detector.
const RaceEnv = "POLYNIC_TEST_RACE"

// binEnv tells the isolated test process where the programs are.
const binEnv = "POLYNIC_TEST_BIN"

// Main replaces m.Run in TestMain: it builds the programs, with failpoints, and
// runs the tests isolated. Traffic helpers that the tests start are other roles
// of the same test binary.
func Main(m *testing.M) int {
	if code, is := Role(); is {
		return code
	}
	if os.Getenv(binEnv) != "" || os.Geteuid() != 0 {
		return isolate.Main(m)
	}
	dir, err := os.MkdirTemp("", "polynic-test-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	if err := os.Setenv(binEnv, dir); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	return isolate.Main(m)
}

func build(dir string) error {
	for _, program := range []string{"cmd/polynic-agent", "cmd/polynic-relay", "cmd/polynic-cni", "examples/memif-echo"} {
		lives := program == "cmd/polynic-agent" || program == "cmd/polynic-relay"
		args := []string{"build", "-tags", "failpoints", "-o", dir + "/"}
		if os.Getenv(RaceEnv) != "" && lives {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "github.com/polynic/polynic/"+program)...)
		cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
		if os.Getenv(RaceEnv) == "" || !lives {
			cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", program, err, out)
		}
	}
	return nil
}

// Built reports whether the programs were given (POLYNIC_TEST_BIN), instead of
// built by Main.
func Built() bool { return os.Getenv(binEnv) != "" }

// Bin is the path of one of the programs.
func Bin(program string) string { return filepath.Join(os.Getenv(binEnv), program) }

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/test/need"
)

// programs is the folder of the real programs, built once for all tests.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withPrograms(m))
}

func withPrograms(m *testing.M) int {
	folder, err := os.MkdirTemp("", "polynic-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o755); err != nil { // one script is not root
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	programs = folder
	for _, name := range []string{
		"cmd/polynic", "cmd/" + lab.AgentProgram, "cmd/" + lab.RelayProgram, "cmd/" + lab.CNIProgram, "cmd/" + lab.EtcdProgram,
		"examples/memif-echo", "examples/memif-http", "test/vnfagent", "test/programs/web",
	} {
		if err := build(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func build(name string) error {
	command := exec.Command("go", "build", "-o", programs+"/", "github.com/polynic/polynic/"+name)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

// TestScripts runs what a user would type, with the real programs.
func TestScripts(t *testing.T) {
	need.Tun(t)
	need.Command(t, need.Kernel, "ping")
	need.Command(t, need.Kernel, "ip")
	need.Command(t, need.Kernel, "curl")
	need.Command(t, need.Kernel, "busybox")
	runScripts(t, "testdata/script")
}

// TestMemifScripts has real applications at memifs.
func TestMemifScripts(t *testing.T) {
	need.Tun(t)
	need.Command(t, need.Kernel, "ping")
	need.Command(t, need.Peers, "dpdk-testpmd")
	runScripts(t, "testdata/memif")
}

// TestVPPScripts has VPP switch.
func TestVPPScripts(t *testing.T) {
	need.Tun(t)
	need.Command(t, need.Kernel, "ping")
	need.Command(t, need.Peers, "dpdk-testpmd")
	need.VPP(t)
	runScripts(t, "testdata/vpp")
}

func runScripts(t *testing.T, dir string) {
	t.Helper()
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+":"+os.Getenv("PATH"))
			env.Setenv("PROGRAMS", programs)
			env.Setenv("EXAMPLES", examples)
			env.Setenv("POLYNIC_VPP", os.Getenv("POLYNIC_VPP"))
			env.Setenv("POLYNIC_STATE", filepath.Join(env.WorkDir, "lab"))
			env.Defer(func() { _ = unix.Unmount(filepath.Join(env.WorkDir, "lab"), unix.MNT_DETACH) }) // one script mounts a disk
			env.Defer(func() { takeDown(t, env.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"crash":      crash,
			"etcd":       etcd,
			"eventually": eventually,
			"get":        get,
			"json":       compareJSON,
			"pause":      pause,
			"resume":     resume,
			"same":       same,
			"within":     within,
		},
	})
}

// takeDown takes down the labs that a script left, as one that failed does.
func takeDown(t *testing.T, folder string) {
	t.Helper()
	labs, err := filepath.Glob(filepath.Join(folder, "*", "lab.json"))
	if err != nil {
		t.Error(err)
	}
	for _, marker := range labs {
		stateDir := filepath.Dir(marker)
		log, err := os.ReadFile(filepath.Join(stateDir, "daemon.log"))
		t.Errorf("a lab is left in %s; its daemon's log (%v):\n%s", stateDir, err, log)
		if err := lab.Down(context.Background(), stateDir, func(lab.Event) {}); err != nil {
			t.Log(err)
		}
	}
}

// crash kills parts of the lab (vpp, daemon, agent, relay, holder, etcd) with SIGKILL,
// and returns once they are dead.
func crash(ts *testscript.TestScript, _ bool, parts []string) {
	for _, part := range parts {
		id := partOf(ts, part)
		ts.Check(id.Signal(syscall.SIGKILL))
		ts.Check(id.Wait(context.Background()))
	}
}

func pidOf(p *lab.Proc) int {
	if p == nil {
		return 0
	}
	return p.PID
}

// eventually repeats a command until it succeeds.
func eventually(ts *testscript.TestScript, _ bool, argv []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(argv[0], argv[1:]...)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s: %v", strings.Join(argv, " "), err)
		}
	}
}

// compareJSON compares the value at a path of the last output, such as
// pods.0.phase, with a JSON value.
func compareJSON(ts *testscript.TestScript, neg bool, args []string) { //nolint:revive // testscript's form
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH VALUE")
	}
	got, err := json.Marshal(lookUp(ts, args[0]))
	ts.Check(err)
	if (string(got) == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// get puts the text at a path of the last output, without what it ends with, into
// an environment variable.
func get(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: get VARIABLE PATH [END]")
	}
	ts.Setenv(args[0], strings.TrimSuffix(fmt.Sprint(lookUp(ts, args[1])), strings.Join(args[2:], "")))
}

// lookUp finds the value at a path of the last output.
func lookUp(ts *testscript.TestScript, path string) any {
	var at any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &at))
	for step := range strings.SplitSeq(path, ".") {
		switch node := at.(type) {
		case map[string]any:
			value, ok := node[step]
			if !ok {
				ts.Fatalf("there is no %q in %v", step, node)
			}
			at = value
		case []any:
			var n int
			if _, err := fmt.Sscan(step, &n); err != nil || n >= len(node) {
				ts.Fatalf("there is no element %s in %v", step, node)
			}
			at = node[n]
		default:
			ts.Fatalf("%q is below a %T", step, at)
		}
	}
	return at
}

// same compares two outputs of `lab status -o json`: what lived before must
// live on as the same processes.
func same(ts *testscript.TestScript, neg bool, files []string) { //nolint:revive // testscript's form
	var pids [2]string
	for i, file := range files {
		var status lab.Status
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &status))
		for _, p := range status.Pods {
			for _, c := range p.Containers {
				pids[i] += fmt.Sprintf("%s/%s %s %d\n", p.Name, c.Name, c.State, c.PID)
			}
		}
	}
	if (pids[0] == pids[1]) == neg {
		ts.Fatalf("before:\n%s\nafter:\n%s", pids[0], pids[1])
	}
}

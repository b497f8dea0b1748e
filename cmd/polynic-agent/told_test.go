// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

// programVariable turns the test program into polynic-agent.
const programVariable = "POLYNIC_AGENT_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	os.Exit(isolate.Main(m))
}

func program(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), os.Args[0], args...) // outlives the test's context for its clean-up
	cmd.Env = append(os.Environ(), programVariable+"=1")
	return cmd
}

// configure writes a configuration and gives its path.
func configure(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// folders is a configuration with these.
func folders(state, run, pods string) string {
	return "nodeName: node1\nstateDir: " + state + "\nrunDir: " + run + "\npodSource: dir:" + pods + "\n"
}

// running starts an agent that listens, and gives its folders.
func running(t *testing.T) (state, run string) {
	t.Helper()
	dir := t.TempDir()
	state, run = filepath.Join(dir, "state"), filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	path := configure(t, folders(state, run, dir))
	agent := program("--config", path)
	agent.Stderr = &log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Signal(syscall.SIGTERM)
		if err := agent.Wait(); err != nil || t.Failed() {
			t.Errorf("the agent that runs: %v:\n%s", err, log.String())
		}
		if out, err := program("remove", "--config", path).CombinedOutput(); err != nil {
			t.Errorf("remove: %v: %s", err, out)
		}
	})
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", filepath.Join(run, "cni.sock"))
		if err == nil {
			_ = conn.Close()
			return state, run
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// What keeps the agent from its work is told in one sentence.
func TestUserErrors(t *testing.T) {
	need.Root(t)
	need.Command(t, need.Kernel, "nft")
	need.Command(t, need.Kernel, "setpriv")
	state, run := running(t)
	dir := t.TempDir()
	fine := configure(t, folders(filepath.Join(dir, "state"), filepath.Join(dir, "run"), dir))
	stateInUse := configure(t, folders(state, filepath.Join(dir, "run"), dir))
	const inUse = "another agent uses this folder"
	for name, c := range map[string]struct {
		args   []string
		prefix []string // what the program is run by
		want   string
	}{
		"unknown flag":     {[]string{"--configs", "x"}, nil, "unknown flag: --configs"},
		"unknown argument": {[]string{"--config", fine, "start"}, nil, `unknown command "start"`},
		"bad level":        {[]string{"--config", fine, "--log-level", "loud"}, nil, `"loud"`},
		"no file":          {[]string{"--config", filepath.Join(dir, "none.yaml")}, nil, "none.yaml: no such file"},
		"unknown field":    {[]string{"--config", configure(t, "nodeNames: a\n")}, nil, `unknown field "nodeNames"`},
		"bad field":        {[]string{"--config", configure(t, "nodeName: a\npodSource: pods\n")}, nil, `podSource: "pods" is neither kubernetes nor`},
		"broken file":      {[]string{"--config", configure(t, "nodeName: [\n")}, nil, "agent.yaml: "},
		"not root":         {[]string{"--config", fine}, []string{"setpriv", "--bounding-set", "-sys_admin"}, "CAP_SYS_ADMIN are missing: run it as root"},
		"remove, not root": {[]string{"remove", "--config", fine}, []string{"setpriv", "--bounding-set", "-net_admin"}, "CAP_SYS_ADMIN are missing: run it as root"},
		"state in use":     {[]string{"--config", stateInUse}, nil, inUse},
		"remove while an agent runs": {
			[]string{"remove", "--config", configure(t, folders(state, run, dir))}, nil, inUse,
		},
		"a container's root": { // is let in, and hears of the next thing
			[]string{"--config", stateInUse}, []string{"setpriv", "--bounding-set", "-all,+net_admin,+sys_admin"}, inUse,
		},
		"socket in use": {
			[]string{"--config", configure(t, folders(filepath.Join(dir, "state"), run, dir))}, nil,
			"socket " + filepath.Join(run, "cni.sock") + ": somebody listens there already",
		},
		"no nft": {[]string{"--config", fine}, []string{"env", "PATH=" + dir}, "is the nft program installed?"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := program(c.args...)
			if len(c.prefix) > 0 {
				cmd.Path, _ = exec.LookPath(c.prefix[0])
				cmd.Args = append(c.prefix, cmd.Args...)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("exit %v, want status 1", err)
			}
			text := strings.TrimSpace(stderr.String())
			if !strings.HasPrefix(text, "polynic-agent: ") || !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
				t.Errorf("said %q, want one sentence with %q", text, c.want)
			}
		})
	}
}

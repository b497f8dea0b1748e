// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/test/need"
)

// programVariable turns the test program into polynic-relay.
const programVariable = "POLYNIC_RELAY_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// process is a running polynic-relay.
type process struct {
	*exec.Cmd
	socket, state string
	client        *relayapi.Client
}

// start runs the program in the namespace and waits until it answers.
func start(t *testing.T, ns *netns.Handle) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{socket: filepath.Join(dir, "relay.sock"), state: filepath.Join(dir, "state")}
	p.Cmd = program(t, "--socket", p.socket, "--state", p.state)
	p.Stderr = t.Output()
	if err := ns.Do(p.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Signal(syscall.SIGTERM)
			_ = p.Wait()
		}
	})
	p.client = relayapi.New(p.socket, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(p.client.Close)
	relaytest.Eventually(t, "the relay answers", 20*time.Second, func() bool {
		_, err := p.client.List(t.Context())
		return err == nil
	})
	return p
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0], args...) // outlives the test's context for its clean-up
	cmd.Env = append(os.Environ(), programVariable+"=1")
	return cmd
}

// worker is the process id of the relay's child.
func (p *process) worker(t *testing.T) int {
	t.Helper()
	var pid int
	relaytest.Eventually(t, "the relay has a worker", 20*time.Second, func() bool {
		lists, err := filepath.Glob("/proc/" + strconv.Itoa(p.Process.Pid) + "/task/*/children")
		if err != nil || len(lists) == 0 {
			t.Fatalf("children of the relay: %v, %v", lists, err)
		}
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				pid = n
			}
		}
		return pid != 0
	})
	return pid
}

func newSpace(t *testing.T) *relaytest.Space {
	t.Helper()
	need.Tun(t)
	need.Command(t, need.Kernel, "ping")
	return relaytest.NewSpace(t)
}

func TestStopLeavesDevices(t *testing.T) {
	pod, own := newSpace(t), newSpace(t)
	p := start(t, own.Handle)
	port := relayapi.TapPort{ID: "p", Pod: pod.Link("tap1"), Twin: relayapi.Link{Name: "twin1"}, Queues: 1}
	if err := p.client.Attach(t.Context(), []relayapi.TapPort{port})[0]; err != nil {
		t.Fatal(err)
	}
	pod.Up(t, "tap1")
	if !pod.Carrier(t, "tap1") || !own.Has(t, "twin1") {
		t.Error("the port has no carrier, or its twin is not in the relay's own namespace")
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("exit status: %v", err)
	}
	if _, err := os.Lstat(p.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket: %v, want none", err)
	}
	if pod.Carrier(t, "tap1") || !own.Has(t, "twin1") {
		t.Error("the tap is still open, or its twin is gone")
	}
	records, err := filepath.Glob(filepath.Join(p.state, "*.port.json"))
	if err != nil || len(records) != 1 {
		t.Errorf("records %v, %v, want one", records, err)
	}
}

func TestUserErrors(t *testing.T) {
	own := newSpace(t)
	running := start(t, own.Handle)
	dir := t.TempDir()
	fine := []string{"--socket", filepath.Join(dir, "s"), "--state", filepath.Join(dir, "state")}
	for name, c := range map[string]struct {
		args  []string
		shell string // what precedes the program
		want  string
	}{
		"unknown flag": {[]string{"--sockets", "x"}, "", "not defined: -sockets; see `polynic-relay --help`"},
		"bad level":    {append([]string{"--log-level", "loud"}, fine...), "", `"loud"`},
		"no socket":    {[]string{"--state", dir}, "", "--socket is missing"},
		"no state":     {[]string{"--socket", "s"}, "", "--state is missing"},
		"argument":     {append(fine, "more"), "", "unexpected argument \"more\"; see `polynic-relay --help`"},
		"socket in use": {
			[]string{"--socket", running.socket, "--state", filepath.Join(dir, "state")},
			"", "socket " + running.socket + ": somebody listens there already",
		},
		"state in use": {
			[]string{"--socket", filepath.Join(dir, "s"), "--state", running.state},
			"", "state folder " + running.state + ": another relay uses it",
		},
		"state not writable": {[]string{"--socket", "s", "--state", "/proc/none"}, "", "state folder: mkdir /proc/none"},
		"socket's folder":    {[]string{"--socket", "/proc/none/s", "--state", filepath.Join(dir, "state")}, "", "socket /proc/none/s"},
		"no tun device":      {fine, "mount -t tmpfs none /dev/net && ", "/dev/net/tun: no such file or directory: load the kernel module"},
		"not root":           {fine, "exec setpriv --bounding-set -sys_admin ", "CAP_SYS_ADMIN are missing: run it as root"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := program(t, c.args...)
			if c.shell != "" {
				need.Command(t, need.Kernel, "unshare")
				need.Command(t, need.Kernel, "setpriv")
				cmd.Args = append([]string{"unshare", "-m", "sh", "-c", c.shell + `"$@"`, "sh"}, cmd.Args...)
				cmd.Path, _ = exec.LookPath("unshare")
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("exit %v, want status 1", err)
			}
			text := strings.TrimSpace(stderr.String())
			if !strings.HasPrefix(text, "polynic-relay: ") || !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
				t.Errorf("said %q, want one sentence with %q", text, c.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	out, err := program(t, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "-log-level") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestVersion(t *testing.T) {
	out, err := program(t, "--version").Output()
	if err != nil || !bytes.HasPrefix(out, []byte("polynic-relay ")) {
		t.Errorf("%q, %v", out, err)
	}
}

// What a probe of the relay's container runs.
func TestHealth(t *testing.T) {
	need.Tun(t)
	p := start(t, relaytest.NewSpace(t).Handle)
	if out, err := program(t, "health", "--socket", p.socket).CombinedOutput(); err != nil {
		t.Errorf("of a relay that runs: %v: %s", err, out)
	}
	out, err := program(t, "health", "--socket", filepath.Join(t.TempDir(), "none")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "none") {
		t.Errorf("of none: %v: %s", err, out)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/node"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// The test binary waits at the gate for the programs that it keeps.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "gate" {
		if err := process.Become(os.Args[2:]); err != nil {
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// wired is a node and an outside.
func wired(t *testing.T) (nodePath, outsidePath string) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	nodePath, outsidePath = filepath.Join(dir, "node"), filepath.Join(dir, "outside")
	t.Cleanup(func() {
		for _, path := range []string{nodePath, outsidePath} {
			if err := netns.Unpin(path); err != nil {
				t.Error(err)
			}
		}
	})
	if err := node.Wire(nodePath, outsidePath); err != nil {
		t.Fatal(err)
	}
	return nodePath, outsidePath
}

// succeeds reports whether a command does, in a network namespace.
func succeeds(t *testing.T, path string, argv ...string) bool {
	t.Helper()
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	place := container.Place{Process: self, Netns: path, Env: os.Environ(), Dir: "/"}
	code, err := container.Exec(t.Context(), place, argv, [3]*os.File{null, null, null})
	if err != nil {
		t.Fatal(err)
	}
	return code == 0
}

func TestNodeReachesTheOutsideInBothFamilies(t *testing.T) {
	ping := need.Command(t, need.Kernel, "ping")
	nodePath, outsidePath := wired(t)
	// A second time, as by the next daemon, changes nothing.
	if err := node.Wire(nodePath, outsidePath); err != nil {
		t.Fatal(err)
	}
	for _, address := range node.Outside() {
		if !succeeds(t, nodePath, ping, "-c1", "-W5", address.Addr().String()) {
			t.Errorf("the node does not reach %s", address.Addr())
		}
	}
	for _, far := range []string{"203.0.113.1", "2001:db8:ffff::1"} {
		if !succeeds(t, nodePath, "sh", "-c", "ip route get "+far+" | grep -q 'via .* dev uplink'") {
			t.Errorf("the node has no route to %s by its uplink", far)
		}
	}
	if !succeeds(t, outsidePath, "sh", "-c", "! ip route get 10.1.1.2") {
		t.Error("the outside has a route to the pods")
	}
}

func TestLoopback(t *testing.T) {
	need.Root(t)
	path := filepath.Join(t.TempDir(), "pod")
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := netns.Unpin(path); err != nil {
			t.Error(err)
		}
	}()
	if err := node.Loopback(path); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		if !succeeds(t, path, need.Command(t, need.Kernel, "ping"), "-c1", "-W5", address) {
			t.Errorf("%s does not answer", address)
		}
	}
}

// program is one that says that it runs, and then does nothing.
func program(t *testing.T) node.Program {
	t.Helper()
	nodePath, _ := wired(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return node.Program{
		Name:   "sleeper",
		Argv:   []string{self, "gate", need.Command(t, need.Kernel, "sh"), "-c", "ip -o link show uplink; echo said; exec sleep 600"},
		Netns:  nodePath,
		Log:    filepath.Join(dir, "log"),
		Record: filepath.Join(dir, "record.json"),
	}
}

func keep(t *testing.T, ctx context.Context, p node.Program) *node.Kept {
	t.Helper()
	k, err := node.Keep(ctx, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func record(t *testing.T, p node.Program) node.Record {
	t.Helper()
	var r node.Record
	if err := state.Read(p.Record, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAProgramThatDiesIsStartedAgain(t *testing.T) {
	p := program(t)
	k := keep(t, t.Context(), p)
	before := record(t, p)
	waitFor(t, func() bool { return said(t, p) == 1 })
	if err := before.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cause := <-k.Deaths()
	if want := "sleeper: signal: killed; it said last: said"; cause.Error() != want {
		t.Errorf("cause %q, want %q", cause, want)
	}
	waitFor(t, func() bool { return said(t, p) == 2 })
	after := record(t, p)
	if !after.Alive() || after.Restarts != 1 {
		t.Errorf("record %+v, want a living process with one restart", after)
	}
	if err := k.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after.Alive() {
		t.Error("the program runs on")
	}
	if _, err := os.Stat(p.Record); err == nil {
		t.Error("the record is left")
	}
}

// said counts how often the program saw the node's link and said so.
func said(t *testing.T, p node.Program) int {
	t.Helper()
	text, err := os.ReadFile(p.Log)
	if err != nil {
		t.Fatal(err)
	}
	return min(strings.Count(string(text), "uplink@"), strings.Count(string(text), "said\n"))
}

// What one daemon started, the next one keeps.
func TestAProgramIsAdopted(t *testing.T) {
	p := program(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := keep(t, ctx, p)
	before := record(t, p)
	cancel()
	first.Wait()
	if !before.Alive() {
		t.Fatal("the program ended with its daemon")
	}
	second := keep(t, t.Context(), p)
	if now := record(t, p); now != before {
		t.Errorf("record %+v, want %+v as before", now, before)
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	reapChild(t, before.PID)
}

func TestAProgramThatCannotStart(t *testing.T) {
	p := program(t)
	p.Netns = filepath.Join(t.TempDir(), "none")
	if _, err := node.Keep(t.Context(), p, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "sleeper: ") {
		t.Errorf("error %v, want one that names the program", err)
	}
}

// reapChild takes leave of a process that the first of two daemons in this
// test started; a real one would be gone, and init its parent.
func reapChild(t *testing.T, pid int) {
	t.Helper()
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it did not come to pass")
		}
	}
}

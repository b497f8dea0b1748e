// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vpp runs the real VPP for tests: without huge pages, DPDK, or a core
// of its own, in a folder that goes with the test. Tests that use it belong into
// a network namespace of their own (test/isolate), or say which one VPP is to
// run in.
package vpp

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// patience is how long a VPP may take to start or to stop; that of an emulated machine
// with other work beside takes half a minute.
const patience = 2 * time.Minute

// Config describes a VPP; the zero Config is one that tests can use.
type Config struct {
	// Inside is the network namespace that it runs in; nil is the test's own.
	Inside *netns.Handle
	// Buffers is how many it has; 0 is 16384.
	Buffers int
	// Without are the plugins not to load, such as "memif".
	Without []string
}

// Process is a VPP that runs, or has been killed.
type Process struct {
	// API, Stats and CLI are the paths of its sockets.
	API, Stats, CLI string

	config  Config
	program string
	dir     string
	prefix  string // of its shared memory's name
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// prefixes tells the VPPs of this process apart.
var prefixes atomic.Int64 //nolint:gochecknoglobals // names of shared memory are global too

// Start starts a VPP and waits until it answers. It is killed when the test
// ends; what it said is shown if the test failed.
func Start(t testing.TB, c Config) *Process {
	t.Helper()
	program := need.VPP(t)
	// A test's own folder has too long a name for the path of a socket.
	dir, err := os.MkdirTemp("", "vpp") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{
		API: filepath.Join(dir, "api.sock"), Stats: filepath.Join(dir, "stats.sock"), CLI: filepath.Join(dir, "cli.sock"),
		config: c, program: program, dir: dir, prefix: fmt.Sprintf("test-%d-%d", os.Getpid(), prefixes.Add(1)),
	}
	if err := os.WriteFile(filepath.Join(dir, "startup.conf"), []byte(p.startup()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.clean(t) })
	p.Start(t)
	return p
}

// Start starts it again after Kill or Stop, empty, and waits until it answers.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	said, err := os.OpenFile(filepath.Join(p.dir, "said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(p.program, "-c", filepath.Join(p.dir, "startup.conf"))
	cmd.Stdout, cmd.Stderr = said, said
	start := cmd.Start
	if p.config.Inside != nil {
		start = func() error { return p.config.Inside.Do(cmd.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	p.wait(t)
}

// Kill ends it as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Hang stops it from answering, until Unhang.
func (p *Process) Hang() { _ = p.cmd.Process.Signal(unix.SIGSTOP) }

// Unhang lets it go on.
func (p *Process) Unhang() { _ = p.cmd.Process.Signal(unix.SIGCONT) }

// Do runs a command of its command line, such as "show interface", and gives
// what it prints.
func (p *Process) Do(t testing.TB, command string) string {
	t.Helper()
	out, err := p.do(command)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *Process) do(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	vppctl := filepath.Join(filepath.Dir(p.program), "vppctl")
	out, err := exec.CommandContext(ctx, vppctl, append([]string{"-s", p.CLI}, strings.Fields(command)...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("vppctl %s: %w: %s", command, err, out)
	}
	return string(out), nil
}

// startup is its configuration.
func (p *Process) startup() string {
	buffers := p.config.Buffers
	if buffers == 0 {
		buffers = 16384
	}
	var plugins strings.Builder
	for _, name := range []string{"af_packet", "memif", "ping", "tap", "urpf", "cnat"} {
		state := "enable"
		if slices.Contains(p.config.Without, name) {
			state = "disable"
		}
		fmt.Fprintf(&plugins, "  plugin %s_plugin.so { %s }\n", name, state)
	}
	return fmt.Sprintf(`unix { nodaemon nosyslog nocolor nobanner cli-no-pager log %[1]s/log runtime-dir %[1]s cli-listen %[1]s/cli.sock }
memory { main-heap-size 1G main-heap-page-size 4k default-hugepage-size 4k }
buffers { page-size 4k buffers-per-numa %[2]d default data-size 2048 }
statseg { socket-name %[1]s/stats.sock size 128M page-size 4k update-interval 0.1 }
socksvr { socket-name %[1]s/api.sock }
api-segment { prefix %[3]s global-size 16M api-size 4M }
physmem { max-size 1G }
logging { default-log-level info default-syslog-log-level disabled }
plugins {
  plugin default { disable }
%[4]s}
`, p.dir, buffers, p.prefix, plugins.String())
}

// wait waits until it answers. VPP listens on its sockets before it serves them,
// so its command line is asked.
func (p *Process) wait(t testing.TB) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			t.Fatalf("VPP ended while it started: %s:\n%s", p.cmd.ProcessState, p.said())
		case <-deadline:
			t.Fatalf("VPP does not answer:\n%s", p.said())
		case <-tick.C:
		}
		if !listens(p.API) || !listens(p.Stats) || !listens(p.CLI) {
			continue
		}
		if _, err := p.do("show version"); err == nil {
			return
		}
	}
}

// listens reports whether somebody accepts connections there.
func listens(socket string) bool {
	for _, network := range []string{"unix", "unixpacket"} { // the statistics are the latter
		if conn, err := net.Dial(network, socket); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

func (p *Process) clean(t testing.TB) {
	t.Helper()
	if p.cmd != nil {
		p.Kill()
	}
	if t.Failed() {
		t.Logf("VPP said:\n%s", p.said())
	}
	_ = os.RemoveAll(p.dir)
	leftovers, _ := filepath.Glob("/dev/shm/" + p.prefix + "*") // the pattern is well-formed
	for _, path := range leftovers {
		_ = os.Remove(path)
	}
}

// said is what it printed and logged.
func (p *Process) said() string {
	var all strings.Builder
	for _, name := range []string{"said", "log"} {
		text, err := os.ReadFile(filepath.Join(p.dir, name))
		if err == nil {
			all.Write(text)
		}
	}
	return all.String()
}

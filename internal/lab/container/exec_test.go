// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/test/need"
)

// beside is the place of a container that waits.
func beside(t *testing.T) container.Place {
	t.Helper()
	spec := script(t, "")
	spec.Command = nil
	spec.Hostname = "web"
	spec.WorkingDir = "/inside"
	spec.User = container.User{UID: 1234, GID: 2345}
	running := start(t, spec)
	t.Cleanup(func() {
		_ = running.ID.Signal(syscall.SIGKILL)
		running.Wait()
	})
	return container.Beside(running.ID, spec)
}

// execute runs a shell script in the place, with an input.
func execute(t *testing.T, place container.Place, input string, argv ...string) (string, int, error) {
	t.Helper()
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := feed.WriteString(input); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code, runErr := container.Exec(t.Context(), place, argv, [3]*os.File{in, out, out})
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), code, runErr
}

func TestExecRunsBesideTheContainer(t *testing.T) {
	place := beside(t)
	for range 3 { // no thread of an earlier run is left in the container
		out, code, err := execute(t, place, "typed\n", "sh", "-c",
			"cat; echo $(hostname) $GREETING $(pwd) $(id -u):$(id -g) $(ls /sys/class/net); exit 5")
		if err != nil {
			t.Fatal(err)
		}
		if want := "typed\nweb hello /inside 1234:2345 lo\n"; out != want || code != 5 {
			t.Errorf("output %q, code %d; want %q, 5", out, code, want)
		}
	}
	if host, err := os.Hostname(); err != nil || host == "web" {
		t.Errorf("the caller's host name is %q (%v)", host, err)
	}
	if dir, err := os.Getwd(); err != nil || dir == "/inside" {
		t.Errorf("the caller's folder is %q (%v)", dir, err)
	}
}

// A process's first thread never ends. Left in a container, it would keep the pod's
// network after the pod. Of many commands at a time, one gets it.
func TestExecLeavesNoThreadThere(t *testing.T) {
	place := beside(t)
	mine := func() string {
		t.Helper()
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	before, stdio := mine(), silent(t)
	var commands sync.WaitGroup
	for range 50 {
		commands.Go(func() {
			if code, err := container.Exec(t.Context(), place, []string{"true"}, stdio); code != 0 || err != nil {
				t.Errorf("code %d, %v", code, err)
			}
		})
	}
	commands.Wait()
	if after := mine(); after != before {
		t.Errorf("the first thread was in %s, and is left in %s", before, after)
	}
}

func TestExecCodes(t *testing.T) {
	place := beside(t)
	for command, want := range map[string]int{"no-such-program": 127, "/no/such": 127, "/etc/passwd": 126, "true": 0, "false": 1} {
		_, code, err := execute(t, place, "", command)
		if code != want || (err != nil) != (want > 1) {
			t.Errorf("%s: code %d, %v; want code %d", command, code, err, want)
		}
	}
	gone := place
	gone.Process.Start++
	if _, _, err := execute(t, gone, "", "true"); !errors.Is(err, process.ErrGone) {
		t.Errorf("in a process that is gone: %v, want ErrGone", err)
	}
}

func TestExecPassesSignalsOn(t *testing.T) {
	place := beside(t)
	out, say, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	stdio := silent(t)
	stdio[1] = say
	type result struct {
		code int
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		code, err := container.Exec(t.Context(), place,
			[]string{"sh", "-c", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.02; done"}, stdio)
		ended <- result{code, err}
	}()
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command said %q (%v)", line, err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); line != "asked\n" {
		t.Errorf("the command said %q (%v), want asked", line, err)
	}
	if got := <-ended; got.code != 3 || got.err != nil {
		t.Errorf("code %d, %v; want 3", got.code, got.err)
	}
	say.Close()
}

func TestExecEndsWithItsContext(t *testing.T) {
	place := beside(t)
	out, say, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	stdio := silent(t)
	stdio[1] = say
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		code, _ := container.Exec(ctx, place, []string{"sh", "-c", "echo ready; exec sleep 600"}, stdio)
		say.Close()
		ended <- code
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command said %q (%v)", line, err)
	}
	cancel()
	if code := <-ended; code != 128+int(syscall.SIGKILL) {
		t.Errorf("code %d, want that of a kill", code)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("the command goes on: %q, %v", rest, err)
	}
}

// A network namespace alone, with the rest as it is here.
func TestExecInANetworkNamespace(t *testing.T) {
	need.Root(t)
	ns := emptyNetns(t)
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	place := container.Place{
		Process: self, Namespaces: []string{"mnt"}, Env: os.Environ(), Dir: dir,
		Netns: fmt.Sprintf("/proc/self/fd/%d", ns.FD()),
	}
	out, code, err := execute(t, place, "", "sh", "-c", "pwd; ip -o link | cut -d: -f2")
	if err != nil || code != 0 {
		t.Fatalf("code %d, %v", code, err)
	}
	if want := dir + "\n lo\n"; out != want {
		t.Errorf("output %q, want %q", out, want)
	}
}

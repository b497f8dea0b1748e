// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// The test binary is also the first process of the containers it starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "init" {
		if err := container.Init(os.Args[2]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func runner(t *testing.T) container.Runner {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return container.Runner{InitCommand: []string{self, "init"}}
}

// emptyNetns is a network namespace of its own.
func emptyNetns(t *testing.T) *netns.Handle {
	t.Helper()
	need.Root(t)
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Unpin(path); err != nil {
			t.Error(err)
		}
	})
	h, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// script is a container that runs a shell script.
func script(t *testing.T, text string) container.Spec {
	t.Helper()
	return container.Spec{
		Name: "c", Hostname: "web", Command: []string{"sh", "-ec", text},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "GREETING=hello"}, WorkingDir: "/", Folder: t.TempDir(),
	}
}

func start(t *testing.T, spec container.Spec) *container.Running {
	t.Helper()
	running, err := runner(t).Start(t.Context(), spec, emptyNetns(t), func(process.ID) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return running
}

// run runs a script to its end and gives what it wrote.
func run(t *testing.T, spec container.Spec) string {
	t.Helper()
	code := start(t, spec).Wait()
	log, err := os.ReadFile(spec.Log())
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Errorf("exit code %d; the container wrote:\n%s", code, log)
	}
	return string(log)
}

func TestWhatACommandSees(t *testing.T) {
	spec := script(t, `echo $$ $(hostname) $GREETING $(pwd)
		echo $(id -u) $(id -g) $(id -G)
		echo $(ls /sys/class/net) / $(grep -c : /proc/net/dev)
		ls /proc | grep -c '^[0-9]*$' | { read n; test $n -lt 9 && echo alone; }
		cat /etc/hostname`)
	spec.WorkingDir = "/made/for/me"
	spec.User = container.User{UID: 1234, GID: 2345, Groups: []uint32{3456}}
	spec.Files = map[string]string{"/etc/hostname": "web\n"}
	want := "1 web hello /made/for/me\n1234 2345 2345 3456\nlo / 1\nalone\nweb\n"
	if diff := cmp.Diff(want, run(t, spec)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if _, err := os.Stat("/made"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the working folder was made on the machine")
	}
}

// Nothing a container does reaches the machine, except through its volumes;
// links of the machine in a mount's target mean the container's files.
func TestMountsAndTheMachine(t *testing.T) {
	here := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(here, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	machine := write("machine/file", "machine")
	write("volume/file", "volume")
	link := filepath.Join(here, "link")
	if err := os.Symlink(filepath.Dir(machine), link); err != nil {
		t.Fatal(err)
	}
	spec := script(t, strings.ReplaceAll(`
		echo changed > HERE/machine/file; touch HERE/machine/new; cat HERE/machine/file
		cat /vol/file; echo back > /vol/back
		cat HERE/machine/inside/file
		if echo no > HERE/machine/inside/file; then echo a read-only mount was written; fi
		cat /vol/nested/one`, "HERE", here))
	spec.Mounts = []container.Mount{
		{Source: machine, Target: "/vol/nested/one"},
		{Source: filepath.Join(here, "volume"), Target: "/vol"},
		{Source: filepath.Join(here, "volume"), Target: filepath.Join(link, "inside"), ReadOnly: true},
	}
	out := run(t, spec)
	lines := strings.Split(out, "\n")
	if want := "changed volume volume "; !strings.HasPrefix(strings.Join(lines, " "), "changed volumevolume") {
		t.Errorf("the container saw %q, want %q", out, want)
	}
	if strings.Contains(out, "was written") || !strings.HasSuffix(out, "machine") {
		t.Errorf("the container saw %q", out)
	}
	for path, want := range map[string]string{machine: "machine", filepath.Join(here, "volume/back"): "back\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"machine/new", "machine/inside"} {
		if _, err := os.Stat(filepath.Join(here, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made on the machine", path)
		}
	}
}

// Devices work; what is mounted or made below /dev is the container's alone.
func TestDevices(t *testing.T) {
	need.Tun(t)
	dir := t.TempDir()
	spec := script(t, `ls /dev/made/for/this; echo x > /dev/null; head -c 3 /dev/zero | wc -c; touch /dev/new /dev/shm/new
		: <> /dev/net/tun && ls /dev/pts >/dev/null && echo devices work`)
	spec.Mounts = []container.Mount{{Source: dir, Target: "/dev/made/for/this"}}
	if diff := cmp.Diff("3\ndevices work\n", run(t, spec)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/dev/made", "/dev/new", "/dev/shm/new"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made on the machine", path)
		}
	}
}

func TestACommandThatCannotStart(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*container.Spec)
		want string
	}{
		"unknown program":  {func(s *container.Spec) { s.Command = []string{"no-such-program"} }, "container c: no-such-program: executable file not found"},
		"unknown path":     {func(s *container.Spec) { s.Command = []string{"/no/such"} }, "/no/such: no such file"},
		"missing source":   {func(s *container.Spec) { s.Mounts = []container.Mount{{Source: "/no/such", Target: "/x"}} }, "mount /x: /no/such: no such file"},
		"folder is a file": {func(s *container.Spec) { s.WorkingDir = "/etc/passwd" }, "working folder"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := script(t, "")
			test.edit(&spec)
			var id process.ID
			_, err := runner(t).Start(t.Context(), spec, emptyNetns(t), func(recorded process.ID) error {
				id = recorded
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if id.Alive() {
				t.Error("the process lives on")
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	for text, want := range map[string]int{"exit 7": 7, "kill -9 $$; sleep 600 & kill -9 $!; wait $!": 137} {
		if got := start(t, script(t, text)).Wait(); got != want {
			t.Errorf("%s: exit code %d, want %d", text, got, want)
		}
	}
}

// A container without a command waits to be ended, and takes leave of what is
// left to it.
func TestPause(t *testing.T) {
	spec := script(t, "")
	spec.Command = nil
	running := start(t, spec)
	code, err := container.Exec(t.Context(), container.Beside(running.ID, spec),
		[]string{"sh", "-c", "(sleep 0.05 &) ; while pgrep sleep >/dev/null; do sleep 0.01; done"}, silent(t))
	if err != nil || code != 0 {
		t.Errorf("exec: code %d, %v", code, err)
	}
	before := time.Now()
	if err := running.ID.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := running.Wait(); code != 0 || time.Since(before) > 10*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(before))
	}
}

// When whoever starts a container gives up, nothing of it goes on.
func TestStartIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var id process.ID
	_, err := runner(t).Start(ctx, script(t, "sleep 600"), emptyNetns(t), func(recorded process.ID) error {
		id = recorded
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	if id.Alive() {
		t.Error("the process lives on")
	}
}

func silent(t *testing.T) [3]*os.File {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	return [3]*os.File{null, null, null}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/daemon"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
)

// The test binary plays the lab's own processes; the node's are the real ones.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) < 2:
	case os.Args[1] == "gate":
		exit(process.Become(os.Args[2:]))
	case os.Args[1] == "hold":
		if err := process.WaitGate(); err != nil {
			exit(err)
		}
		select {}
	case os.Args[1] == "init":
		exit(container.Init(os.Args[2]))
	}
	// The containers' first processes are to end at once when they are told.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		exit(err)
	}
	os.Exit(harness.Main(m))
}

func exit(err error) {
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one state folder, with whatever daemon runs for it.
type bench struct {
	dir  state.Dir
	stop context.CancelFunc
	done chan error
	// told is what the daemon told at its start.
	told []string
}

// newBench starts the daemon of a new lab. Its processes are ended after the
// test.
func newBench(t *testing.T, change func(*lab.Settings)) *bench {
	t.Helper()
	need.Tun(t)
	goleak.VerifyNone(t)
	dir, lock, err := state.Claim(filepath.Join(t.TempDir(), "lab"))
	if err != nil {
		t.Fatal(err)
	}
	settings := lab.DefaultSettings()
	settings.NoEtcd = true // scripts have it
	change(&settings)
	if err := state.Write(dir.Settings(), settings); err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: dir}
	t.Cleanup(func() {
		b.leave(t)
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
		endAgent(t, dir) // it mounts again what is missing
		unmountBelow(t, string(dir))
		// The daemon is this process; it is not to be ended.
		if err := os.Remove(dir.Process(lab.DaemonRecord)); err != nil {
			t.Error(err)
		}
		if err := lab.Down(context.Background(), string(dir), func(lab.Event) {}); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	b.start(t)
	return b
}

func endAgent(t *testing.T, dir state.Dir) {
	t.Helper()
	var agent process.ID
	if err := state.Read(dir.Process(lab.AgentRecord), &agent); err != nil {
		return // it was not started, or taken down
	}
	if err := agent.Stop(context.Background(), 10*time.Second); err != nil {
		t.Error(err)
	}
}

// unmountBelow does what the end of a lab's mount namespace does. The tests
// have one in common.
func unmountBelow(t *testing.T, folder string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if path := strings.Fields(line)[4]; strings.HasPrefix(path, folder+"/") {
			// Those below went with an earlier one.
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				t.Error(err)
			}
		}
	}
}

// start starts a daemon and waits until it serves.
func (b *bench) start(t *testing.T) {
	t.Helper()
	if err := b.tryStart(t); err != nil {
		t.Fatalf("the daemon did not start: %v", err)
	}
}

func (b *bench) tryStart(t *testing.T) error {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	events, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	ctx, stop := context.WithCancel(context.Background())
	b.stop, b.done, b.told = stop, make(chan error, 1), nil
	go func() {
		b.done <- daemon.Run(ctx, daemon.Config{
			Dir: b.dir, Programs: filepath.Dir(harness.Bin(lab.AgentProgram)),
			Gate: []string{self, "gate"}, Hold: []string{self, "hold"}, Init: []string{self, "init"},
			Events: tell, Log: slog.New(slog.DiscardHandler),
		})
	}()
	for lines := json.NewDecoder(events); ; {
		var e lab.Event
		if err := lines.Decode(&e); err != nil {
			stop()
			b.stop = nil
			return errors.Join(<-b.done, err)
		}
		if e.Kind == lab.Finished {
			return nil
		}
		b.told = append(b.told, e.String())
	}
}

// leave ends the daemon, as SIGTERM does; what it started goes on.
func (b *bench) leave(t *testing.T) {
	t.Helper()
	if b.stop == nil {
		return
	}
	b.stop()
	if err := <-b.done; err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	b.stop = nil
	// It was of this process: nobody else takes leave of its children.
	t.Cleanup(func() { reap() })
}

// reap takes leave of children that ended.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (b *bench) apply(ctx context.Context, pods ...*corev1.Pod) ([]string, error) {
	var heard hearing
	err := lab.Apply(ctx, string(b.dir), lab.ApplyRequest{Pods: pods}, heard.tell)
	return heard.sorted(), err
}

func (b *bench) remove(names ...string) ([]string, error) {
	var heard hearing
	request := lab.DeleteRequest{}
	for _, name := range names {
		request.Pods = append(request.Pods, lab.Name{Namespace: "default", Name: name})
	}
	err := lab.Delete(context.Background(), string(b.dir), request, heard.tell)
	return heard.sorted(), err
}

// hearing collects what was done and what failed.
type hearing struct {
	mu    sync.Mutex
	lines []string
}

func (h *hearing) tell(e lab.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Kind != lab.Progress {
		h.lines = append(h.lines, e.String())
	}
}

func (h *hearing) sorted() []string {
	slices.Sort(h.lines)
	return h.lines
}

func (b *bench) interfaces(t *testing.T) []inspect.Interface {
	t.Helper()
	socket, err := lab.InspectSocket(string(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	list, err := inspect.NewClient(socket).Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (b *bench) pods(t *testing.T) []lab.PodNow {
	t.Helper()
	status, err := lab.ReadStatus(t.Context(), string(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	return status.Pods
}

// left lists what pods have left in the lab's folders.
func (b *bench) left(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, folder := range []string{b.dir.PodsDir(), b.dir.Node(lab.NodeName).Manifests(), b.dir.NetnsDir(), b.dir.CNICache() + "/results"} {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != lab.NodeName && e.Name() != lab.OutsideName {
				all = append(all, filepath.Base(folder)+"/"+e.Name())
			}
		}
	}
	return all
}

func pod(t *testing.T, name, annotation, spec string) *corev1.Pod {
	t.Helper()
	text := fmt.Sprintf("metadata: {namespace: default, name: %s, annotations: {contivpp.io/custom-if: %q}}\nspec: {%s}", name, annotation, spec)
	var p corev1.Pod
	if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s did not come to pass", what)
		}
	}
}

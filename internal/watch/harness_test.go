// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"bytes"
	"context"
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

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take before a test gives up.
const patience = 10 * time.Second

// recorder is a sink that keeps what it was told.
type recorder struct {
	mu    sync.Mutex
	told  []string
	pods  map[string]model.Pod
	fresh chan struct{} // holds a token after news
	gate  chan struct{} // where set, PutPod waits for it to be closed
}

func newRecorder() *recorder {
	return &recorder{pods: map[string]model.Pod{}, fresh: make(chan struct{}, 1)}
}

func (r *recorder) PutPod(pod model.Pod) {
	r.note(fmt.Sprintf("put %s %s", pod.Ref, pod.Request), func() { r.pods[pod.Ref.String()] = pod })
	if r.gate != nil {
		<-r.gate
	}
}

func (r *recorder) DeletePod(ref model.PodRef) {
	r.note(fmt.Sprintf("delete %s", ref), func() { delete(r.pods, ref.String()) })
}

func (r *recorder) Synced() { r.note("synced", func() {}) }

func (r *recorder) note(text string, change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, text)
	change()
	select {
	case r.fresh <- struct{}{}:
	default:
	}
}

// all is everything told so far.
func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// state is what every pod asks for, as told so far.
func (r *recorder) state() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := map[string]string{}
	for ref, pod := range r.pods {
		state[ref] = pod.Request.String()
	}
	return state
}

// await waits until text was told at least n times.
func (r *recorder) await(t testing.TB, n int, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		count := 0
		for _, told := range r.all() {
			if told == text {
				count++
			}
		}
		if count >= n {
			return
		}
		select {
		case <-r.fresh:
		case <-deadline:
			t.Fatalf("%q was told %d times, want %d; told %q", text, count, n, r.all())
		}
	}
}

// logs is a log that may be read while it is written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// running is a folder that is being followed.
type running struct {
	testing.TB
	*recorder
	dir  string
	logs *logs
	n    int
}

// follow runs a source on a folder until the test ends, and waits for neither.
func follow(t testing.TB, dir string, sink *recorder) *running {
	t.Helper()
	r := &running{TB: t, recorder: sink, dir: dir, logs: &logs{}}
	source := watch.NewDir(dir, slog.New(slog.NewTextHandler(r.logs, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

// put writes a file of the folder the way writers should.
func (r *running) put(file, text string) {
	r.Helper()
	draft := filepath.Join(r.dir, ".draft")
	r.must(os.WriteFile(draft, []byte(text), 0o600))
	r.must(os.Rename(draft, filepath.Join(r.dir, file)))
}

// settle waits until everything that happened to the folder so far was told: a
// pod of its own comes after it.
func (r *running) settle() {
	r.Helper()
	r.n++
	// Each has a file of its own: a file is read as it is when an event of it
	// is come to, which may be newer than the event.
	name := fmt.Sprintf("settle-%d", r.n)
	r.put("z-"+name+".yaml", pod(name, "t/tap"))
	r.await(r, 1, "put default/"+name+" t/tap")
}

func (r *running) path(file string) string { return filepath.Join(r.dir, file) }

func (r *running) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func pod(name, request string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name +
		"\n  annotations:\n    contivpp.io/custom-if: " + request + "\n---\n"
}

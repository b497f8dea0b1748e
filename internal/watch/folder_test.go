// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFolderThatIsMadeLater(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "not", "yet", "there")
	r := follow(t, dir, newRecorder())
	// The levels come one by one, with pods only in the last one.
	r.must(os.Mkdir(filepath.Join(top, "not"), 0o700))
	r.must(os.Mkdir(filepath.Join(top, "other"), 0o700))
	r.must(os.MkdirAll(filepath.Join(top, "draft", "there"), 0o700))
	r.must(os.WriteFile(filepath.Join(top, "draft", "there", "a.yaml"), []byte(pod("a", "tap1/tap")), 0o600))
	r.must(os.Rename(filepath.Join(top, "draft"), filepath.Join(top, "not", "yet")))
	r.await(t, 1, "synced")
	if got := strings.Join(r.all(), ", "); got != "put default/a tap1/tap, synced" {
		t.Errorf("told %s", got)
	}
}

func TestFolderIsRemovedAndMadeAgain(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "parent", "pods")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := follow(t, dir, newRecorder())
	r.await(t, 1, "synced")
	for n, remove := range []func(){
		func() { r.must(os.RemoveAll(dir)) },
		func() { r.must(os.Rename(dir, filepath.Join(top, "elsewhere"))) },
		func() { r.must(os.RemoveAll(filepath.Dir(dir))) },
	} {
		r.put("a.yaml", pod("a", "tap1/tap"))
		r.await(t, n+1, "put default/a tap1/tap")
		remove()
		r.await(t, n+1, "delete default/a")
		r.must(os.MkdirAll(dir, 0o700))
	}
	r.settle()
	if all := strings.Join(r.all(), ","); strings.Count(all, "synced") != 1 {
		t.Errorf("told %s, want synced once", all)
	}
}

func TestFileInTheFoldersPlace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pods")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := follow(t, dir, newRecorder())
	r.must(os.Remove(dir))
	r.must(os.Mkdir(dir, 0o700))
	r.settle()
}

func TestVolumeIsSwapped(t *testing.T) {
	// This is how kubelet writes a ConfigMap's volume.
	dir := t.TempDir()
	version := func(n int, text string) {
		folder := fmt.Sprintf("..%d", n)
		for _, err := range []error{
			os.Mkdir(filepath.Join(dir, folder), 0o700),
			os.WriteFile(filepath.Join(dir, folder, "a.yaml"), []byte(text), 0o600),
			os.Symlink(folder, filepath.Join(dir, "..data_tmp")),
			os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	version(1, pod("a", "tap1/tap"))
	if err := os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r := follow(t, dir, newRecorder())
	r.await(t, 1, "put default/a tap1/tap")
	version(2, pod("a", "tap2/tap"))
	r.await(t, 1, "put default/a tap2/tap")
}

// TestLostEvents makes more events than the kernel keeps while the sink is
// busy; what happened last must be found by listing.
func TestLostEvents(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if most > 1<<17 {
		t.Skipf("the kernel keeps %d events", most)
	}
	sink := newRecorder()
	sink.gate = make(chan struct{})
	r := follow(t, t.TempDir(), sink)
	r.await(t, 1, "synced")
	r.put("a.yaml", pod("a", "tap1/tap"))
	r.await(t, 1, "put default/a tap1/tap")
	// The sink is held now. Equal events in a row would be merged into one.
	r.must(os.WriteFile(r.path("b.off"), nil, 0o600))
	for n := range most {
		from, to := r.path("b.off"), r.path("c.off")
		if n%2 == 1 {
			from, to = to, from
		}
		r.must(os.Rename(from, to))
	}
	r.put("late.yaml", pod("late", "tap1/tap"))
	r.must(os.Remove(r.path("a.yaml")))
	close(sink.gate)
	r.await(t, 1, "put default/late tap1/tap")
	r.await(t, 1, "delete default/a")
}

// TestAnyOrderOfChanges does to a folder whatever comes to mind, and compares
// what was told with what a fresh look finds.
func TestAnyOrderOfChanges(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := follow(t, t.TempDir(), newRecorder())
			random := rand.New(rand.NewPCG(seed, 1))
			for range 60 {
				r.changeSomething(random)
			}
			r.settle()
			fresh := follow(t, r.dir, newRecorder())
			fresh.await(t, 1, "synced")
			if diff := cmp.Diff(fresh.state(), r.state()); diff != "" {
				t.Errorf("pods (-fresh look +told):\n%s", diff)
			}
		})
	}
}

func (r *running) changeSomething(random *rand.Rand) {
	r.Helper()
	file := func() string { return fmt.Sprintf("%c.yaml", 'a'+random.IntN(4)) }
	var text strings.Builder
	for _, n := range random.Perm(4)[:random.IntN(4)] {
		text.WriteString(pod(fmt.Sprint("pod-", n), fmt.Sprintf("tap%d/tap", random.IntN(3))))
	}
	switch random.IntN(5) {
	case 0:
		if err := os.Remove(r.path(file())); !errors.Is(err, os.ErrNotExist) {
			r.must(err)
		}
	case 1:
		if err := os.Rename(r.path(file()), r.path(file())); !errors.Is(err, os.ErrNotExist) {
			r.must(err)
		}
	case 2:
		r.must(os.WriteFile(r.path(file()), []byte(text.String()), 0o600))
	case 3:
		r.must(os.RemoveAll(r.dir))
		r.must(os.Mkdir(r.dir, 0o700))
	default:
		r.put(file(), text.String())
	}
}

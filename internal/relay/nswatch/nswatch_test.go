// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nswatch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/nswatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Plain files stand in for namespaces: a path and an inode is all there is to
// watch.

func newWatcher(t *testing.T) *nswatch.Watcher {
	t.Helper()
	w, err := nswatch.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, w.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func newFile(t *testing.T, path string) (inode uint64) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// watch gives a channel for the reason why the path is gone.
func watch(t *testing.T, w *nswatch.Watcher, path string, inode uint64) (*nswatch.Watch, <-chan error) {
	t.Helper()
	gone := make(chan error, 2)
	added, err := w.Add(path, inode, func(err error) { gone <- err })
	if err != nil {
		t.Fatal(err)
	}
	return added, gone
}

func expectGone(t *testing.T, gone <-chan error, limit time.Duration) {
	t.Helper()
	select {
	case err := <-gone:
		if !errors.Is(err, netns.ErrGone) {
			t.Errorf("reason %v, want ErrGone", err)
		}
	case <-time.After(limit):
		t.Fatalf("not noticed within %v", limit)
	}
}

const atOnce = nswatch.RecheckInterval / 2

func TestChangesAreNoticedAtOnce(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"removed": os.Remove,
		"renamed": func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatcher(t)
			dir := t.TempDir()
			path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			inode := newFile(t, path)
			_, first := watch(t, w, path, inode)
			_, second := watch(t, w, path, inode)
			_, untouched := watch(t, w, other, newFile(t, other))
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			expectGone(t, first, atOnce)
			expectGone(t, second, atOnce)
			if len(first)+len(second)+len(untouched) != 0 {
				t.Error("called back too often")
			}
		})
	}
}

func TestFolderVanishes(t *testing.T) {
	w := newWatcher(t)
	dir := filepath.Join(t.TempDir(), "netns")
	for range 2 { // the second time in a new folder of the same name
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "a")
		_, gone := watch(t, w, path, newFile(t, path))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		expectGone(t, gone, atOnce)
	}
}

func TestRecheckFindsWhatRaisesNoEvent(t *testing.T) {
	w := newWatcher(t)
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "folder")
	path := filepath.Join(real, "a")
	if err := errors.Join(os.Mkdir(real, 0o700), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	_, gone := watch(t, w, filepath.Join(link, "a"), newFile(t, path))
	if err := os.Remove(link); err != nil { // not in the folder that is watched
		t.Fatal(err)
	}
	expectGone(t, gone, 3*nswatch.RecheckInterval)
}

func TestAddOfWhatIsGoneAlready(t *testing.T) {
	w := newWatcher(t)
	path := filepath.Join(t.TempDir(), "a")
	fail := func(err error) { t.Errorf("called back: %v", err) }
	if _, err := w.Add(path, 1, fail); !errors.Is(err, netns.ErrGone) {
		t.Errorf("missing: %v, want ErrGone", err)
	}
	inode := newFile(t, path)
	if _, err := w.Add(path, inode+1, fail); !errors.Is(err, netns.ErrGone) {
		t.Errorf("another inode: %v, want ErrGone", err)
	}
	_, gone := watch(t, w, path, inode)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expectGone(t, gone, atOnce)
}

func TestRemovedWatchIsSilent(t *testing.T) {
	w := newWatcher(t)
	path := filepath.Join(t.TempDir(), "a")
	inode := newFile(t, path)
	removed, silent := watch(t, w, path, inode)
	_, gone := watch(t, w, path, inode)
	w.Remove(removed)
	w.Remove(removed) // again is no error
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expectGone(t, gone, atOnce)
	if len(silent) != 0 {
		t.Errorf("called back: %v", <-silent)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

func pin(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Unpin(path); err != nil {
			t.Error(err)
		}
	})
	return path
}

func open(t *testing.T, path string) *netns.Handle {
	t.Helper()
	h, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	need.Root(t)
	h := open(t, pin(t))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := h.Do(func() error {
				links, err := net.Interfaces()
				if err != nil {
					return err
				}
				if len(links) != 1 || links[0].Name != "lo" {
					t.Errorf("links inside: %v, want lo alone", links)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	own, err := netns.Own()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("threads: %v, %v", tasks, err)
	}
	for _, task := range tasks {
		var st unix.Stat_t
		if err := unix.Stat(task, &st); err != nil {
			continue // the thread ended meanwhile
		}
		if st.Ino == h.Inode() {
			t.Errorf("thread %s stayed in the namespace", task)
		}
	}
}

// TestOwnWhileThreadsAreAway: any thread may be inside another namespace at the
// time, the process's first one included.
func TestOwnWhileThreadsAreAway(t *testing.T) {
	need.Root(t)
	want := own(t)
	h := open(t, pin(t))
	const threads = 50 // more than are idle, so that all of these are used
	var inside, done sync.WaitGroup
	inside.Add(threads)
	leave := make(chan struct{})
	for range threads {
		done.Go(func() {
			if err := h.Do(func() error {
				inside.Done()
				<-leave
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	inside.Wait()
	if got := own(t); got != want {
		t.Errorf("own namespace has inode %d, want %d; %d is the other one", got, want, h.Inode())
	}
	close(leave)
	done.Wait()
}

func own(t *testing.T) (inode uint64) {
	t.Helper()
	h, err := netns.Own()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	return h.Inode()
}

func TestDoReturnsTheError(t *testing.T) {
	need.Root(t)
	h := open(t, pin(t))
	want := errors.New("inside")
	if err := h.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestPinTwiceKeepsTheNamespace(t *testing.T) {
	need.Root(t)
	path := pin(t)
	before := open(t, path).Inode()
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	if after := open(t, path).Inode(); after != before {
		t.Errorf("inode %d after a second pin, want %d", after, before)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := netns.Open(filepath.Join(dir, "none")); !errors.Is(err, netns.ErrGone) {
		t.Errorf("missing path: %v, want ErrGone", err)
	}
	if _, err := netns.Open(plain); !errors.Is(err, netns.ErrNotNetns) {
		t.Errorf("plain file: %v, want ErrNotNetns", err)
	}
	pipe := filepath.Join(dir, "pipe") // nobody will ever write to it
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := netns.Open(pipe); !errors.Is(err, netns.ErrNotNetns) {
		t.Errorf("named pipe: %v, want ErrNotNetns", err)
	}
	path := pin(t)
	inode := open(t, path).Inode()
	if _, err := netns.OpenExact(model.Netns{Path: path, Inode: inode + 1}); !errors.Is(err, netns.ErrGone) {
		t.Errorf("another inode: %v, want ErrGone", err)
	}
	h, err := netns.OpenExact(model.Netns{Path: path, Inode: inode})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

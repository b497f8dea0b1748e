// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
)

// elsewhere is a mount namespace of which nothing comes here, and a look at its
// mounts.
func elsewhere(t *testing.T) (path string, mounts func() string) {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec cat")
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = hold.Close()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it is inside
		t.Fatal(err)
	}
	of := func(file string) string { return fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, file) }
	return of("ns/mnt"), func() string {
		t.Helper()
		text, err := os.ReadFile(of("mountinfo"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// A namespace that was pinned where the caller cannot see it is of no use: that
// is an error which says what to do, and nothing is left there.
func TestPinnedOutOfSight(t *testing.T) {
	need.Root(t)
	need.Command(t, need.Kernel, "unshare")
	there, mounts := elsewhere(t)
	path := filepath.Join(t.TempDir(), "ns")
	before, own := mounts(), mountNamespace(t)
	err := netns.Pins{MountNamespace: there}.Pin(path)
	if err == nil || !strings.Contains(err.Error(), "HostToContainer") {
		t.Errorf("error %v, want one that tells of HostToContainer", err)
	}
	if after := mounts(); after != before {
		t.Errorf("mounts there: %s\nwant %s", after, before)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the mount point: %v, want none", err)
	}
	harness.Eventually(t, 20*time.Second, func() error { // a thread ends right after its result is told
		tasks, err := filepath.Glob("/proc/self/task/*/ns/mnt")
		for _, task := range tasks {
			if ns, linkErr := os.Readlink(task); linkErr == nil && ns != own {
				err = errors.Join(err, fmt.Errorf("thread %s stayed in %s", task, ns))
			}
		}
		return err
	})
}

func mountNamespace(t *testing.T) string {
	t.Helper()
	ns, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// What took a namespace's place is replaced by it.
func TestPinOpen(t *testing.T) {
	need.Root(t)
	h := open(t, pin(t))
	path := filepath.Join(t.TempDir(), "again")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if h.Pinned(path) {
		t.Error("pinned at a plain file")
	}
	if err := (netns.Pins{}).PinOpen(h, path); err != nil {
		t.Fatal(err)
	}
	if !h.Pinned(path) {
		t.Error("not pinned")
	}
	if err := netns.Unpin(path); err != nil {
		t.Fatal(err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/test/need"
)

func claim(t *testing.T, path string) (state.Dir, *os.File) {
	t.Helper()
	d, lock, err := state.Claim(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	return d, lock
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// fill puts something into every place that the layout knows.
func fill(t *testing.T, d state.Dir) {
	t.Helper()
	node := d.Node("node1")
	for _, path := range []string{
		d.Socket(), d.DaemonLog(), d.Settings(), d.Process("agent"), d.Netns("node1"), d.CNIConf() + "/x", d.CNICache() + "/x",
		d.Pod("default", "a") + "/pod.json", d.ConfigMap("default", "c"), node.AgentConfig(), node.AgentState() + "/x",
		node.RelayState() + "/x", node.Run() + "/x", node.Manifests() + "/x", node.Log("agent"),
	} {
		if err := state.Write(path, "x"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemoveLeavesNothingOfAFolderItMade(t *testing.T) {
	parent := t.TempDir()
	d, _ := claim(t, filepath.Join(parent, "a", "b"))
	fill(t, d)
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if left := names(t, parent); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestRemoveLeavesAFolderItFound(t *testing.T) {
	folder := t.TempDir()
	d, _ := claim(t, folder)
	fill(t, d)
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if left := names(t, folder); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestRemoveLeavesWhatOthersPutThere(t *testing.T) {
	parent := t.TempDir()
	d, _ := claim(t, filepath.Join(parent, "lab"))
	if err := os.WriteFile(filepath.Join(string(d), "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"notes.txt"}, names(t, string(d))); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestClaimRefusesAFolderOfSomethingElse(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "precious"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := state.Claim(folder); !errors.Is(err, state.ErrNotOurs) {
		t.Errorf("error %v, want ErrNotOurs", err)
	}
	if diff := cmp.Diff([]string{"precious"}, names(t, folder)); diff != "" {
		t.Errorf("the folder changed (-want +got):\n%s", diff)
	}
}

func TestOneWorksAtATime(t *testing.T) {
	d, lock := claim(t, filepath.Join(t.TempDir(), "lab"))
	if _, _, err := state.Claim(string(d)); !errors.Is(err, state.ErrBusy) {
		t.Errorf("a second claim: %v, want ErrBusy", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	claim(t, string(d))
}

func TestOpen(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "lab")
	if _, err := state.Open(folder); !errors.Is(err, state.ErrNoLab) {
		t.Errorf("before: %v, want ErrNoLab", err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asking made the folder: %v", err)
	}
	want, _ := claim(t, folder)
	got, err := state.Open(folder)
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestWriteReplacesAndReadAllFinds(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	for _, value := range []string{"first", "second"} {
		if err := state.Write(filepath.Join(folder, "a.json"), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Write(filepath.Join(folder, "b.json"), "third"); err != nil {
		t.Fatal(err)
	}
	got, err := state.ReadAll[string](folder, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"second", "third"}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a.json", "b.json"}, names(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// What has room on a full disk is written there; what has none is not harmed.
func TestWriteToAFullDisk(t *testing.T) {
	need.Root(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(disk, "a.json")
	if err := state.Write(path, "old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for value, fits := range map[string]bool{"": true, "longer than before": true, "new": true, strings.Repeat("x", 10_000): false} {
		if err := state.Write(path, "kept"); err != nil {
			t.Fatal(err)
		}
		want := "kept"
		if fits {
			want = value
		}
		err := state.Write(path, value)
		if fits != (err == nil) || err != nil && (!errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "a.json cannot be written: its disk is full")) {
			t.Errorf("%d bytes: error %v", len(value), err)
		}
		var got string
		if err := state.Read(path, &got); err != nil || got != want {
			t.Errorf("%d bytes: read %q, %v, want %q", len(value), got, err, want)
		}
	}
	if err := state.Write(filepath.Join(disk, "b.json"), "new"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a new file: %v, want ENOSPC", err)
	}
	if diff := cmp.Diff([]string{"a.json", "filler"}, names(t, disk)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/need"
)

// disk mounts a file system with the options, for the calling test alone: its
// thread gets a mount namespace, and ends with the test.
func disk(t *testing.T, options string) string {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread()
	dir := t.TempDir()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp puts attachments from the number on until one is refused, and gives
// those that were not.
func fillUp(t *testing.T, j *journal.Journal, from int) []model.Attachment {
	t.Helper()
	var done []model.Attachment
	for n := from; n < from+10000; n++ {
		err := j.Put(attachment(n))
		if err == nil {
			done = append(done, attachment(n))
			continue
		}
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "/journal: ") {
			t.Fatalf("Put on a full disk: %v, want no space and the file's name", err)
		}
		return done
	}
	t.Fatal("the disk does not fill up")
	return nil
}

func TestFullDisk(t *testing.T) {
	dir := disk(t, "size=64k")
	path, ballast := filepath.Join(dir, "journal"), filepath.Join(dir, "ballast")
	j, _ := open(t, path)
	if err := os.WriteFile(ballast, make([]byte, 20<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	want := fillUp(t, j, 1)
	shut(t, j)

	// A restart on the full disk loses nothing and refuses as before.
	j, got := open(t, path)
	same(t, got, want)
	intact(t, j.Report())
	if more := fillUp(t, j, 1000); len(more) > 0 {
		t.Errorf("%d more fitted after the restart", len(more))
	}

	// Once there is room it goes on, without a restart.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	want = append(want, fillUp(t, j, 2000)...)
	err := j.Delete(want[0].ID)
	for err == nil { // the end of the last page holds a few
		want = want[1:]
		err = j.Delete(want[0].ID)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Delete on a full disk: %v, want no space", err)
	}
	shut(t, j)
	got, report := reopen(t, path)
	same(t, got, want)
	intact(t, report)
}

func TestReadOnlyDisk(t *testing.T) {
	dir := disk(t, "size=1m")
	path := filepath.Join(dir, "journal")
	j, _ := open(t, path)
	put(t, j, attachments(1, 2)...)
	shut(t, j)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	j, got := open(t, path)
	same(t, got, attachments(1, 2))
	if err := j.Put(attachment(3)); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), path) {
		t.Errorf("Put: %v, want a read-only file system and the file's name", err)
	}
	if err := j.Delete(attachment(1).ID); !errors.Is(err, unix.EROFS) {
		t.Errorf("Delete: %v, want a read-only file system", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	put(t, j, attachment(3)) // and the deletion
	shut(t, j)
	got, report := reopen(t, path)
	same(t, got, attachments(2, 3))
	intact(t, report)
}

// Where no new file can be made, the old one serves on; the log says so, but
// not at every record.
func TestNoInodeLeft(t *testing.T) {
	path := filepath.Join(disk(t, "size=8m,nr_inodes=2"), "journal")
	var log bytes.Buffer
	opts := options()
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	j, _, err := journal.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	put(t, j, attachment(1))
	for n := 2; n < 6000; n++ {
		put(t, j, attachment(n))
		remove(t, j, attachment(n))
	}
	shut(t, j)
	info, err := os.Stat(path)
	if err != nil || info.Size() < 2<<20 {
		t.Fatalf("the file has %d bytes, %v: too few for the test", info.Size(), err)
	}
	if lines := int64(strings.Count(log.String(), "cannot be rewritten")); lines != info.Size()>>20 {
		t.Errorf("%d lines of log, want one per MiB of %d bytes:\n%s", lines, info.Size(), log.String())
	}
	got, report := reopen(t, path)
	same(t, got, attachments(1))
	intact(t, report)
}

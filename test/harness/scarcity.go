// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// LimitFiles bounds the descriptors of a process to those that it has and so
// many more, until lift is called.
func LimitFiles(t testing.TB, pid, more int) (lift func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	// The bound is on their numbers, and not all below the highest are in use.
	bound := unix.Rlimit{Max: old.Max}
	for free := 0; free < more; bound.Cur++ {
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, bound.Cur)); err != nil {
			free++
		}
	}
	limit := func(to unix.Rlimit) {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &to, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(bound)
	return func() { limit(old) }
}

// Disk is a file system of its own under one folder.
type Disk struct {
	t    testing.TB
	path string
}

// MountDisk puts an empty disk of so many bytes over a folder until the end of
// the test. What was in the folder is hidden.
func MountDisk(t testing.TB, path string, size int) *Disk {
	t.Helper()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		t.Fatal(err)
	}
	d := &Disk{t: t, path: path}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return d
}

// Unmount takes the disk away again.
func (d *Disk) Unmount() {
	d.t.Helper()
	if err := unix.Unmount(d.path, unix.MNT_DETACH); err != nil {
		d.t.Fatal(err)
	}
}

// ReadOnly makes the disk one that cannot be written; nobody may have a file of
// it open for writing.
func (d *Disk) ReadOnly() {
	d.t.Helper()
	d.remount(unix.MS_RDONLY)
}

// Writable undoes ReadOnly.
func (d *Disk) Writable() {
	d.t.Helper()
	d.remount(0)
}

func (d *Disk) remount(flags uintptr) {
	d.t.Helper()
	if err := unix.Mount("", d.path, "", unix.MS_REMOUNT|flags, ""); err != nil {
		d.t.Fatal(err)
	}
}

// Fill leaves no byte free, until empty is called.
func (d *Disk) Fill() (empty func()) {
	d.t.Helper()
	path := filepath.Join(d.path, "filler")
	file, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, os.Getpagesize()))
	}
	return func() {
		d.t.Helper()
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

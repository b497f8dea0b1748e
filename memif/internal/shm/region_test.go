// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package shm

import (
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func create(t *testing.T, size int) (*Region, int) {
	t.Helper()
	r, fd, err := Create("test", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return r, fd
}

func TestBothSeeTheSame(t *testing.T) {
	const size = 12345
	ours, fd := create(t, size)
	theirs, err := Map(fd, size, Sealed)
	if err != nil {
		t.Fatal(err)
	}
	if len(ours.Bytes) != size || len(theirs.Bytes) != size {
		t.Errorf("%d and %d bytes", len(ours.Bytes), len(theirs.Bytes))
	}
	copy(ours.Bytes[size-5:], "hello")
	if got := string(theirs.Bytes[size-5:]); got != "hello" {
		t.Errorf("the other side sees %q", got)
	}
	ours.Unmap()
	if string(theirs.Bytes[size-5:]) != "hello" {
		t.Error("the other side's memory went too")
	}
	theirs.Unmap()
	if theirs.Bytes != nil {
		t.Error("memory that is gone is still offered")
	}
}

// Nobody can take memory away that was created here.
func TestCreatedIsSealed(t *testing.T) {
	r, fd := create(t, 8192)
	defer r.Unmap()
	for _, size := range []int64{0, 4096, 16384} {
		if err := unix.Ftruncate(fd, size); !errors.Is(err, unix.EPERM) {
			t.Errorf("resized to %d: %v", size, err)
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("sealed again: %v", err)
	}
}

func TestMapRefuses(t *testing.T) {
	memfd := func(size int64, seals int) int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		_, sealing := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		if err := errors.Join(unix.Ftruncate(fd, size), sealing); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tooMuch := error(unix.ENOMEM)
	if bits.UintSize == 32 {
		tooMuch = ErrSize
	}
	for _, c := range []struct {
		name    string
		fd      int
		size    uint64
		sealing Sealing
		want    error
	}{
		{"no file", 12345, 1, Unsealed, ErrFile},
		{"a file on a disk, or a tmpfs, without the seal", int(file.Fd()), 1, Sealed, ErrUnsealed},
		{"no seal", memfd(100, 0), 100, Sealed, ErrUnsealed},
		{"no seal, but that is all right", memfd(100, 0), 101, Unsealed, ErrSize},
		{"nothing", memfd(100, unix.F_SEAL_SHRINK), 0, Sealed, ErrSize},
		{"a byte too much", memfd(100, unix.F_SEAL_SHRINK), 101, Sealed, ErrSize},
		{"everything", memfd(100, unix.F_SEAL_SHRINK), 1<<64 - 1, Sealed, ErrSize},
		{"half of everything", memfd(100, unix.F_SEAL_SHRINK), 1 << 63, Sealed, ErrSize},
		{"more than there is address space", memfd(1<<62, unix.F_SEAL_SHRINK), 1 << 62, Sealed, tooMuch},
	} {
		r, err := Map(c.fd, c.size, c.sealing)
		if err == nil {
			r.Unmap()
		}
		if c.fd == int(file.Fd()) && errors.Is(err, ErrFile) {
			continue // a disk's file knows no seals at all
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Beside a region there is nothing, not even by chance.
func TestGuards(t *testing.T) {
	page := os.Getpagesize()
	r, _ := create(t, 2*page-100)
	defer r.Unmap()
	start := unsafe.Pointer(&r.Bytes[0])
	for _, c := range []struct {
		at    int
		fault bool
	}{
		{-page, true}, {-1, true}, {0, false}, {2*page - 101, false}, {2*page - 1, false}, {2 * page, true}, {3*page - 1, true},
	} {
		address := unsafe.Add(start, c.at)
		if got := faults(address); got != c.fault {
			t.Errorf("access at %d is a fault: %v", c.at, got)
		}
		if !r.Contains(uintptr(address)) {
			t.Errorf("%d is not the region's", c.at)
		}
	}
	var elsewhere int
	if r.Contains(uintptr(unsafe.Pointer(&elsewhere))) || r.Contains(uintptr(r.base)-1) || r.Contains(uintptr(r.base)+r.span) {
		t.Error("other addresses are the region's")
	}
}

// faults reports whether an access is a fault.
func faults(p unsafe.Pointer) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { yes = recover() != nil }()
	*(*byte)(p)++
	return false
}

// Memory that the peer takes back is a fault, and no more.
func TestShrunk(t *testing.T) {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 1<<16); err != nil {
		t.Fatal(err)
	}
	r, err := Map(fd, 1<<16, Unsealed)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Unmap()
	last := unsafe.Pointer(&r.Bytes[len(r.Bytes)-1])
	if faults(last) {
		t.Fatal("a fault before there is reason for one")
	}
	if err := unix.Ftruncate(fd, 0); err != nil {
		t.Fatal(err)
	}
	if !faults(last) {
		t.Error("no fault where nothing is left")
	}
}

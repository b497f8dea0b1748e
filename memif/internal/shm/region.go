// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package shm

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errors of Map.
var (
	ErrSize     = errors.New("wrong region size")
	ErrFile     = errors.New("not a file of shared memory")
	ErrUnsealed = errors.New("region is not sealed against shrinking")
)

// Sealing says which files Map takes.
type Sealing int

const (
	// Sealed takes only memory that cannot shrink under the mapping.
	Sealed Sealing = iota
	// Unsealed takes memory without the seal too. An access behind the end that
	// the peer gave its file is a fault (SIGBUS), which the accessing goroutine
	// must be ready for: debug.SetPanicOnFault.
	Unsealed
)

// Region is a mapped piece of shared memory.
type Region struct {
	// Bytes is the memory; it must not be used after Unmap.
	Bytes []byte

	base unsafe.Pointer // of the whole mapping, guard pages included
	span uintptr
}

// Create makes a region of size bytes, sealed, and gives it and its file, which
// the caller closes. name is shown in /proc/PID/maps.
func Create(name string, size int) (*Region, int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, -1, fmt.Errorf("memory region: memfd_create: %w", err)
	}
	r, err := fill(fd, size)
	if err != nil {
		unix.Close(fd)
		return nil, -1, fmt.Errorf("memory region of %d bytes: %w", size, err)
	}
	return r, fd, nil
}

func fill(fd, size int) (*Region, error) {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("ftruncate: %w", err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("add seals: %w", err)
	}
	return mapFile(fd, size)
}

// Map maps size bytes of a file that a peer sent. The caller keeps fd, and may
// close it at once.
func Map(fd int, size uint64, sealing Sealing) (*Region, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		// Only shmem and hugetlbfs know seals. With any other file a page fault
		// could fail or take as long as whoever serves the file system likes.
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if seals&unix.F_SEAL_SHRINK == 0 && sealing == Sealed {
		return nil, ErrUnsealed
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, fmt.Errorf("%w: fstat: %w", ErrFile, err)
	}
	if size == 0 || stat.Size < 0 || size > uint64(stat.Size) || size > maxInt {
		return nil, fmt.Errorf("%w: %d bytes claimed, the file has %d", ErrSize, size, stat.Size)
	}
	return mapFile(fd, int(size))
}

const maxInt = uint64(^uint(0) >> 1)

// mapFile maps the file between two guards: address space that is mapped to
// nothing, so that an access beside the region is a fault and nothing worse.
func mapFile(fd, size int) (*Region, error) {
	unit, err := alignment(fd)
	if err != nil {
		return nil, err
	}
	length := (uintptr(size) + unit - 1) / unit * unit
	if length < uintptr(size) || length+3*unit < length {
		return nil, fmt.Errorf("%w: %d bytes do not fit into the address space", ErrSize, size)
	}
	span := length + 3*unit // two guards, and room to align
	base, err := unix.MmapPtr(-1, 0, nil, span, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve address space: %w", err)
	}
	start := unsafe.Add(base, unit+(unit-uintptr(base)%unit)%unit)
	_, err = unix.MmapPtr(fd, 0, start, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	r := &Region{Bytes: unsafe.Slice((*byte)(start), size), base: base, span: span}
	if err != nil {
		r.Unmap()
		return nil, fmt.Errorf("mmap: %w", err)
	}
	return r, nil
}

// alignment is the page size, of huge pages if the file is made of them.
func alignment(fd int) (uintptr, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return 0, fmt.Errorf("%w: fstatfs: %w", ErrFile, err)
	}
	return max(uintptr(os.Getpagesize()), uintptr(fs.Bsize)), nil
}

// Contains reports whether an address is in the region or its guards.
func (r *Region) Contains(address uintptr) bool {
	return address-uintptr(r.base) < r.span
}

// Unmap gives the memory back. Nobody may be using it.
func (r *Region) Unmap() {
	r.Bytes = nil
	// It fails only for arguments that were never mapped.
	_ = unix.MunmapPtr(r.base, r.span)
}

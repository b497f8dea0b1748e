// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memiftest

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif/internal/shm"
)

// Descriptor is a descriptor of a ring.
type Descriptor = shm.Descriptor

// FlagNext in a descriptor: the packet goes on in the next.
const FlagNext = shm.FlagNext

// The seals of a region.
const (
	SealShrink = unix.F_SEAL_SHRINK
	NoSeal     = 0
)

// Memfd makes a file of shared memory and maps it, writable without regard for
// anybody.
func Memfd(size int64, seals int) (fd int, memory []byte, err error) {
	fd, err = unix.MemfdCreate("memiftest", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, nil, err
	}
	err = unix.Ftruncate(fd, size)
	if err == nil && seals != 0 {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err == nil && size > 0 {
		memory, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, memory, nil
}

// Ring is a ring as a C program sees it: plain memory.
type Ring struct {
	memory []byte
	// Eventfd is the ring's interrupt.
	Eventfd int
	// Buffers is where the slave's buffers for the ring begin in the region.
	Buffers uint32
}

const descriptors = 128

func (r Ring) u16(at int) *uint16 { return (*uint16)(unsafe.Pointer(&r.memory[at])) }

// Cookie is, like the ring's other words below, for anyone to write.
func (r Ring) Cookie() *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[0])) }

// Flags has bit 0 when interrupts are masked.
func (r Ring) Flags() *uint16 { return r.u16(4) }

// Head is the slave's index.
func (r Ring) Head() *uint16 { return r.u16(6) }

// Tail is the master's index.
func (r Ring) Tail() *uint16 { return r.u16(64) }

// Slots is the number of descriptors.
func (r Ring) Slots() int { return (len(r.memory) - descriptors) / shm.DescriptorLen }

// Descriptor is that of an index, for anyone to write.
func (r Ring) Descriptor(index uint16) *Descriptor {
	at := descriptors + int(index)%r.Slots()*shm.DescriptorLen
	return (*Descriptor)(unsafe.Pointer(&r.memory[at]))
}

// format makes an empty ring.
func (r Ring) format() {
	clear(r.memory)
	*r.Cookie() = shm.Cookie
}

func newRing(region []byte, offset uint32, log2 uint8) (Ring, error) {
	end := int(offset) + shm.Bytes(log2)
	if end > len(region) {
		return Ring{}, errors.New("no room for the ring")
	}
	return Ring{memory: region[offset:end:end]}, nil
}

// Unmap gives the memory of Memfd back.
func Unmap(memory []byte) error { return unix.Munmap(memory) }

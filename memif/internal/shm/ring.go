// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package shm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Cookie marks the start of a ring.
const Cookie uint32 = 0x3e31f20

// The sizes of a ring, as exponents of 2.
const (
	MinLog2 = 1
	MaxLog2 = 14
)

// The layout of a ring, in bytes from its start.
const (
	cookieAt     = 0
	flagsHeadAt  = 4
	tailAt       = 64
	descriptorAt = 128
)

// Errors of Attach.
var (
	ErrRing   = errors.New("bad ring")
	ErrCookie = errors.New("ring without its cookie")
)

// Ring is a ring in a region; it must not be used after the region was
// unmapped. Methods that write are for the one who owns what they write: see
// the package's documentation.
type Ring struct {
	start unsafe.Pointer
	mask  uint16
}

// Bytes is the length of a ring with 1<<log2 slots.
func Bytes(log2 uint8) int { return descriptorAt + DescriptorLen<<log2 }

// Attach finds the ring that is said to be at offset of a region.
func Attach(region []byte, offset uint32, log2 uint8) (Ring, error) {
	r, err := locate(region, offset, log2)
	if err != nil {
		return Ring{}, err
	}
	if got := atomic.LoadUint32(r.word(cookieAt)); got != Cookie {
		return Ring{}, fmt.Errorf("%w: 0x%x", ErrCookie, got)
	}
	return r, nil
}

// Format makes an empty ring at offset of a region of the caller's. Interrupts
// are wanted: there are receivers that only ever mask them.
func Format(region []byte, offset uint32, log2 uint8) (Ring, error) {
	r, err := locate(region, offset, log2)
	if err != nil {
		return Ring{}, err
	}
	atomic.StoreUint32(r.word(flagsHeadAt), 0)
	atomic.StoreUint32(r.word(tailAt), 0)
	atomic.StoreUint32(r.word(cookieAt), Cookie)
	return r, nil
}

func locate(region []byte, offset uint32, log2 uint8) (Ring, error) {
	if log2 < MinLog2 || log2 > MaxLog2 {
		return Ring{}, fmt.Errorf("%w: 2^%d slots, want 2^%d to 2^%d", ErrRing, log2, MinLog2, MaxLog2)
	}
	if end := uint64(offset) + uint64(Bytes(log2)); end > uint64(len(region)) {
		return Ring{}, fmt.Errorf("%w: its end at %d is behind that of its region at %d", ErrRing, end, len(region))
	}
	// All peers put rings at multiples of 32 bytes. Atomics, of 8 bytes for
	// descriptors, need less.
	if offset%DescriptorLen != 0 {
		return Ring{}, fmt.Errorf("%w: its offset %d is no multiple of %d", ErrRing, offset, DescriptorLen)
	}
	return Ring{start: unsafe.Pointer(&region[offset]), mask: 1<<log2 - 1}, nil
}

// Slots is the number of descriptors.
func (r Ring) Slots() uint16 { return r.mask + 1 }

// Mask takes an index, which counts modulo 2^16, to a slot number.
func (r Ring) Mask(index uint16) int { return int(index & r.mask) }

func (r Ring) word(at uintptr) *uint32 { return (*uint32)(unsafe.Add(r.start, at)) }

// Head loads the slave's index.
func (r Ring) Head() uint16 {
	return uint16(atomic.LoadUint32(r.word(flagsHeadAt)) >> headShift)
}

// SetHead publishes what the slave stored before: packets to the master, or
// empty buffers for it.
func (r Ring) SetHead(head uint16) {
	difference := uint32(head) - uint32(r.Head())
	atomic.AddUint32(r.word(flagsHeadAt), difference<<headShift)
}

// Tail loads the master's index.
func (r Ring) Tail() uint16 {
	return uint16(atomic.LoadUint32(r.word(tailAt)) >> tailShift)
}

// SetTail publishes what the master stored before, or gives slots back.
func (r Ring) SetTail(tail uint16) {
	atomic.StoreUint32(r.word(tailAt), uint32(tail)<<tailShift)
}

// Masked reports whether the receiver wants no interrupts.
func (r Ring) Masked() bool { return atomic.LoadUint32(r.word(flagsHeadAt))&maskBit != 0 }

// MaskInterrupts tells the sender that the receiver polls.
func (r Ring) MaskInterrupts() { atomic.OrUint32(r.word(flagsHeadAt), maskBit) }

// UnmaskInterrupts asks the sender for an interrupt after it sent.
func (r Ring) UnmaskInterrupts() { atomic.AndUint32(r.word(flagsHeadAt), ^maskBit) }

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package shm

import (
	"sync/atomic"
	"unsafe"
)

// DescriptorLen is the length of a descriptor in bytes.
const DescriptorLen = 16

// FlagNext in Descriptor.Flags: the packet goes on in the next slot.
const FlagNext uint16 = 1

// Descriptor says where a buffer is. The layout is that in the ring.
type Descriptor struct {
	Flags    uint16
	Region   uint16
	Length   uint32 // bytes: of the packet's piece, or of an empty buffer
	Offset   uint32 // bytes from the start of the region
	Metadata uint32 // no peer uses it
}

// Load copies the descriptor at index, loading each byte once.
func (r Ring) Load(index uint16) Descriptor {
	at := unsafe.Add(r.start, descriptorAt+uintptr(index&r.mask)*DescriptorLen)
	first := atomic.LoadUint64((*uint64)(at))
	return Descriptor{
		Flags:  uint16(first >> flagsShift),
		Region: uint16(first >> regionShift),
		Length: uint32(first >> lengthShift),
		Offset: atomic.LoadUint32((*uint32)(unsafe.Add(at, 8))),
	}
}

// Store writes the descriptor at index, whose slot must be the caller's. The
// peer sees it when head or tail has passed it.
func (r Ring) Store(index uint16, d Descriptor) {
	at := unsafe.Add(r.start, descriptorAt+uintptr(index&r.mask)*DescriptorLen)
	// By words, as Load reads it: a processor waits for a load of what it has just
	// stored in smaller pieces.
	*(*uint64)(at) = uint64(d.Flags)<<flagsShift | uint64(d.Region)<<regionShift | uint64(d.Length)<<lengthShift
	*(*uint32)(unsafe.Add(at, 8)) = d.Offset
	*(*uint32)(unsafe.Add(at, 12)) = d.Metadata
}

// Slice is the part of the regions that a descriptor claims, or false if there
// is no such part.
func Slice(regions [][]byte, d Descriptor) ([]byte, bool) {
	if int(d.Region) >= len(regions) {
		return nil, false
	}
	region := regions[d.Region]
	end := uint64(d.Offset) + uint64(d.Length)
	if end > uint64(len(region)) {
		return nil, false
	}
	return region[d.Offset:end:end], true
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppstats

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// The layout of the segment, of version 2 (vlib/stats/shared.h). Pointers are
// VPP's own, and base is where the segment is for VPP.
const (
	layoutVersion = 2

	versionAt    = 0
	baseAt       = 8
	epochAt      = 16
	inProgressAt = 24
	directoryAt  = 32
	headerLen    = 40

	// An entry of the directory: its kind, its value, and its name.
	entryLen     = 144
	entryValueAt = 8
	entryNameAt  = 16

	// vectorHeader is how far before a vector's first element its length is
	// (vppinfra/vec_bootstrap.h).
	vectorHeader = 8
)

// kind is the kind of an entry (stat_directory_type_t).
type kind uint32

const (
	kindScalar kind = 1
	kindSimple kind = 2
	kindPairs  kind = 3
	kindNames  kind = 4
	kindGauge  kind = 9 // since VPP 26.02
)

// segment is VPP's segment, mapped. VPP writes to it at any time; nothing in it is
// believed to lie within it.
type segment []byte

// entry is one of the directory.
type entry struct {
	kind  kind
	value uint64
}

// number is the value of a gauge.
func (e entry) number() (uint64, error) {
	switch e.kind {
	case kindScalar, kindGauge:
		return e.value, nil
	case kindSimple, kindPairs, kindNames:
	}
	return 0, fmt.Errorf("%w: kind %d instead of a number", ErrUnknown, e.kind)
}

// check looks whether it is a segment that this package can read.
func (s segment) check() error {
	if len(s) < headerLen {
		return fmt.Errorf("%w: a segment of %d bytes", ErrUnknown, len(s))
	}
	if v := s.word(versionAt); v != layoutVersion {
		return fmt.Errorf("%w: layout %d, want %d", ErrUnknown, v, layoutVersion)
	}
	return nil
}

// word reads 8 bytes of the header at once, with what VPP wrote before them.
func (s segment) word(offset int) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&s[offset])))
}

// epoch changes when the directory does; it is not to be read meanwhile.
func (s segment) epoch() (epoch uint64, changing bool) {
	changing = s.word(inProgressAt) != 0
	return s.word(epochAt), changing
}

// vector gives the elements of a vector, of size bytes each, at a pointer of VPP's.
func (s segment) vector(pointer uint64, size int) ([]byte, error) {
	if pointer == 0 {
		return nil, nil // an empty vector
	}
	offset := pointer - s.word(baseAt) // wraps where it is none
	if offset < vectorHeader || offset > uint64(len(s)) {
		return nil, fmt.Errorf("%w: a pointer out of the segment", ErrUnknown)
	}
	count := binary.NativeEndian.Uint32(s[offset-vectorHeader:])
	if length := uint64(count) * uint64(size); length <= uint64(len(s))-offset {
		return s[offset : offset+length], nil
	}
	return nil, fmt.Errorf("%w: a vector longer than the segment", ErrUnknown)
}

// entries are those whose names begin so, by name. VPP has some twenty more for each
// interface.
func (s segment) entries(prefix string) (map[string]entry, error) {
	directory, err := s.vector(s.word(directoryAt), entryLen)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	all := map[string]entry{}
	for ; len(directory) > 0; directory = directory[entryLen:] {
		text := directory[entryNameAt:entryLen]
		if !bytes.HasPrefix(text, []byte(prefix)) {
			continue
		}
		name, _, _ := bytes.Cut(text, []byte{0})
		all[string(name)] = entry{
			kind(binary.NativeEndian.Uint32(directory)), binary.NativeEndian.Uint64(directory[entryValueAt:]),
		}
	}
	return all, nil
}

// elements are the pointers that a vector of pointers has.
func (s segment) elements(e entry, want kind) ([]uint64, error) {
	if e.kind != want {
		return nil, fmt.Errorf("%w: kind %d, want %d", ErrUnknown, e.kind, want)
	}
	v, err := s.vector(e.value, 8)
	if err != nil {
		return nil, err
	}
	var all []uint64
	for ; len(v) > 0; v = v[8:] {
		all = append(all, binary.NativeEndian.Uint64(v))
	}
	return all, nil
}

// strings are those of a vector of strings.
func (s segment) strings(e entry) ([]string, error) {
	pointers, err := s.elements(e, kindNames)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range pointers {
		text, err := s.vector(p, 1)
		if err != nil {
			return nil, err
		}
		text, _, _ = bytes.Cut(text, []byte{0})
		all = append(all, string(text))
	}
	return all, nil
}

// numbers gives each thread's counters, by index.
func (s segment) numbers(e entry, give func(int, uint64)) error {
	threads, err := s.elements(e, kindSimple)
	if err != nil {
		return err
	}
	for _, p := range threads {
		v, err := s.vector(p, 8)
		if err != nil {
			return err
		}
		for i := 0; i < len(v)/8; i++ {
			give(i, binary.NativeEndian.Uint64(v[8*i:]))
		}
	}
	return nil
}

// pairs gives each thread's counters of packets and bytes, by index.
func (s segment) pairs(e entry, give func(int, Traffic)) error {
	threads, err := s.elements(e, kindPairs)
	if err != nil {
		return err
	}
	for _, p := range threads {
		v, err := s.vector(p, 16)
		if err != nil {
			return err
		}
		for i := 0; i < len(v)/16; i++ {
			give(i, Traffic{binary.NativeEndian.Uint64(v[16*i:]), binary.NativeEndian.Uint64(v[16*i+8:])})
		}
	}
	return nil
}

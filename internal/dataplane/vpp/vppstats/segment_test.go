// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppstats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
)

// FuzzSegment reads segments that VPP is in the middle of writing, or that are
// none.
func FuzzSegment(f *testing.F) {
	s := vpptest.Start(f, vpptest.Config{})
	mapped, err := New(s.Stats).segment(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	whole := bytes.Clone(mapped)
	if err := unix.Munmap(mapped); err != nil {
		f.Fatal(err)
	}
	s.Kill()
	f.Add(whole, uint16(0), uint64(0))
	for at := 0; at+8 < len(whole); at += 8 {
		f.Add(whole, uint16(at), ^uint64(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16, word uint64) {
		data = append(make([]byte, 0, len(data)+8), data...) // aligned, as a page is
		if int(at)+8 <= len(data) {
			binary.NativeEndian.PutUint64(data[at:], word)
		}
		s := segment(data)
		if s.check() != nil {
			return
		}
		if pools, err := s.pools(); err == nil && len(pools) == 0 {
			t.Errorf("no pool, and no error")
		} else if err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("an error that is not about the segment: %v", err)
		}
		if _, err := s.interfaces(); err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("an error that is not about the segment: %v", err)
		}
	})
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Buffers are the figures of a pool of buffers.
type Buffers struct{ Available, Cached, Used uint64 }

// Traffic is what an interface has received and sent.
type Traffic struct {
	RxPackets, RxBytes, TxPackets, TxBytes uint64
	Drops                                  uint64
}

// The kinds of entries in VPP's statistics (vlib/stats/shared.h).
const (
	statScalar   = 1
	statCounters = 2
	statPairs    = 3
	statNames    = 4
	statEmpty    = 5
	// StatGauge is the kind that VPP 26.06 keeps figures of buffers in.
	StatGauge = 9
)

// statistics is what the stats segment shows beside interfaces.
type statistics struct {
	buffers map[string]Buffers
	kind    uint32 // of the figures of buffers
	traffic map[uint32]Traffic
}

func newStatistics() statistics {
	return statistics{
		buffers: map[string]Buffers{"default-numa-0": {Available: 16384}}, kind: statScalar, traffic: map[uint32]Traffic{},
	}
}

// SetBuffers changes the figures of a pool; that of a new server is
// default-numa-0, with 16384 available.
func (s *Server) SetBuffers(pool string, b Buffers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted.buffers[pool] = b
}

// SetBuffersKind changes the kind of the figures of buffers, as another version of
// VPP does.
func (s *Server) SetBuffersKind(kind uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted.kind = kind
}

// SetTraffic changes the counters of an interface.
func (s *Server) SetTraffic(swIfIndex uint32, t Traffic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted.traffic[swIfIndex] = t
}

// handOut gives each client the segment as it is now.
func (s *Server) handOut(listener *net.UnixListener) {
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		s.serving.Go(func() {
			defer conn.Close()
			s.mu.Lock()
			hung := s.hung
			s.mu.Unlock()
			<-hung // Kill ends this too
			s.mu.Lock()
			var data []byte
			if s.world != nil {
				data = s.world.segment(s.counted)
			}
			s.mu.Unlock()
			if data == nil {
				return
			}
			if err := sendFile(conn, data); err != nil {
				s.t.Errorf("vpptest: statistics: %v", err)
			}
		})
	}
}

// sendFile sends a file with the data.
func sendFile(conn *net.UnixConn, data []byte) error {
	fd, err := unix.MemfdCreate("stat segment", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "stat segment")
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	// VPP sends no byte with it. A client that is gone is no error.
	_, _, _ = conn.WriteMsgUnix(nil, unix.UnixRights(fd), nil)
	return nil
}

// The segment as vlib/stats/shared.h has it. base is where VPP would have it.
const (
	segmentBase   = 0x13_0000_0000
	segmentHeader = 40
	segmentLayout = 2
)

// segment is a stats segment under construction.
type segment struct {
	data      []byte
	directory []byte
}

// vector appends a vector, with its header, and gives VPP's pointer to it.
func (s *segment) vector(count int, elements []byte) uint64 {
	for len(s.data)%8 != 0 {
		s.data = append(s.data, 0)
	}
	s.data = binary.NativeEndian.AppendUint64(s.data, uint64(uint32(count)))
	at := segmentBase + uint64(len(s.data))
	s.data = append(s.data, elements...)
	return at
}

// words appends a vector of words.
func (s *segment) words(words ...uint64) uint64 {
	var b []byte
	for _, w := range words {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return s.vector(len(words), b)
}

// entry adds an entry to the directory.
func (s *segment) entry(name string, kind uint32, value uint64) {
	s.directory = binary.NativeEndian.AppendUint64(s.directory, uint64(kind))
	s.directory = binary.NativeEndian.AppendUint64(s.directory, value)
	var fixed [128]byte
	copy(fixed[:], name)
	s.directory = append(s.directory, fixed[:]...)
}

// segment is the stats segment of this world.
func (w *world) segment(c statistics) []byte {
	s := &segment{data: make([]byte, segmentHeader)}
	s.entry("/sys/heartbeat", statScalar, 1)
	for _, name := range slices.Sorted(maps.Keys(c.buffers)) {
		b := c.buffers[name]
		s.entry("/buffer-pools/"+name+"/cached", c.kind, b.Cached)
		s.entry("/buffer-pools/"+name+"/used", c.kind, b.Used)
		s.entry("/buffer-pools/"+name+"/available", c.kind, b.Available)
	}
	s.entry("", statEmpty, 0)
	count := 1 + int(slices.Max(slices.Collect(maps.Keys(w.interfaces))))
	var names []uint64
	var rx, tx, drops, zero []uint64
	for index := range uint32(count) {
		name := "deleted"
		if i, is := w.interfaces[index]; is {
			name = i.name
		}
		names = append(names, s.vector(len(name)+1, append([]byte(name), 0)))
		t := c.traffic[index]
		rx, tx = append(rx, t.RxPackets, t.RxBytes), append(tx, t.TxPackets, t.TxBytes)
		drops, zero = append(drops, t.Drops), append(zero, 0)
	}
	s.entry("/if/names", statNames, s.words(names...))
	s.entry("/if/rx", statPairs, s.words(s.pairs(rx)))
	s.entry("/if/tx", statPairs, s.words(s.pairs(tx)))
	s.entry("/if/drops", statCounters, s.words(s.words(drops...)))
	for _, name := range []string{"rx-error", "rx-miss", "rx-no-buf", "tx-error"} {
		s.entry("/if/"+name, statCounters, s.words(s.words(zero...)))
	}
	directory := s.vector(len(s.directory)/144, s.directory)
	for at, word := range []uint64{segmentLayout, segmentBase, 1, 0, directory} {
		binary.NativeEndian.PutUint64(s.data[8*at:], word)
	}
	return s.data
}

// pairs appends a vector of pairs.
func (s *segment) pairs(words []uint64) uint64 {
	var b []byte
	for _, w := range words {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return s.vector(len(words)/2, b)
}

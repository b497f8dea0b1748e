// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memiftest

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif/internal/shm"
)

// SlaveConfig describes a slave. Zero values are those of a well-behaved one.
type SlaveConfig struct {
	Init       Init
	Log2       uint8 // of the ring size, 3 if 0
	BufferSize uint32
	Pairs      int
	Seals      int  // SealShrink if 0 and Unsealed is not set
	Unsealed   bool // with no seal at all
}

// Slave is a peer with a region in which it has rings and buffers, laid out as
// by DPDK: S2M rings, M2S rings, buffers.
type Slave struct {
	*Peer
	Region []byte
	File   int
	S2M    []Ring
	M2S    []Ring

	config SlaveConfig
}

// NewSlave makes the memory and connects to a socket; nothing is said yet.
func NewSlave(address string, c SlaveConfig) (*Slave, error) {
	if c.Init.Version == 0 {
		c.Init.Version = Version
	}
	if c.Log2 == 0 {
		c.Log2 = 3
	}
	if c.BufferSize == 0 {
		c.BufferSize = 2048
	}
	c.Pairs = max(c.Pairs, 1)
	if c.Seals == 0 && !c.Unsealed {
		c.Seals = SealShrink
	}
	s := &Slave{config: c, File: -1}
	if err := s.makeMemory(); err != nil {
		return nil, errors.Join(err, s.free())
	}
	peer, err := Dial(address)
	if err != nil {
		return nil, errors.Join(err, s.free())
	}
	s.Peer = peer
	return s, nil
}

func (s *Slave) makeMemory() error {
	c := s.config
	rings := 2 * c.Pairs
	perRing := c.BufferSize << c.Log2
	buffers := uint32(rings * shm.Bytes(c.Log2))
	size := int64(buffers) + int64(rings)*int64(perRing)
	var err error
	if s.File, s.Region, err = Memfd(size, c.Seals); err != nil {
		return err
	}
	for n := range rings {
		r, err := newRing(s.Region, uint32(n*shm.Bytes(c.Log2)), c.Log2)
		if err != nil {
			return err
		}
		r.format()
		r.Buffers = buffers + uint32(n)*perRing
		for i := range r.Slots() {
			*r.Descriptor(uint16(i)) = Descriptor{Offset: r.Buffers + uint32(i)*c.BufferSize, Length: c.BufferSize}
		}
		if r.Eventfd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
			return err
		}
		if n < c.Pairs {
			s.S2M = append(s.S2M, r)
		} else {
			s.M2S = append(s.M2S, r)
		}
	}
	return nil
}

// Region's and rings' announcements, in the order of the handshake.

// AddRegion is the message for the region.
func (s *Slave) AddRegion() AddRegion { return AddRegion{Size: uint64(len(s.Region))} }

// AddRings are the messages for the rings, and their files.
func (s *Slave) AddRings() (messages []AddRing, files []int) {
	for n, r := range append(append([]Ring{}, s.S2M...), s.M2S...) {
		m := AddRing{Index: uint16(n % s.config.Pairs), Offset: uint32(n * len(r.memory)), Log2RingSize: s.config.Log2}
		if n < s.config.Pairs {
			m.Flags = FlagS2M
		}
		messages = append(messages, m)
		files = append(files, r.Eventfd)
	}
	return messages, files
}

// Introduce takes the handshake up to, but without, CONNECT.
func (s *Slave) Introduce() error {
	if _, err := Expect[Hello](s.Peer); err != nil {
		return err
	}
	if err := s.Ask(s.config.Init); err != nil {
		return err
	}
	if err := s.Ask(s.AddRegion(), s.File); err != nil {
		return err
	}
	rings, files := s.AddRings()
	for i := range rings {
		if err := s.Ask(rings[i], files[i]); err != nil {
			return err
		}
	}
	return nil
}

// Handshake takes the whole handshake.
func (s *Slave) Handshake() error {
	if err := s.Introduce(); err != nil {
		return err
	}
	if err := s.Send(Connect{Interface: "test"}); err != nil {
		return err
	}
	_, err := Expect[Connected](s.Peer)
	return err
}

// Close ends the channel without a word and frees the memory.
func (s *Slave) Close() error { return errors.Join(s.Peer.Close(), s.free()) }

func (s *Slave) free() error {
	for _, r := range append(s.S2M, s.M2S...) {
		unix.Close(r.Eventfd)
	}
	var err error
	if s.Region != nil {
		err = unix.Munmap(s.Region)
	}
	return errors.Join(err, unix.Close(s.File))
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif/internal/shm"
	"github.com/polynic/polynic/memif/internal/wire"
)

// slave is the slave's side of a handshake. It makes one region with all rings
// at its start and their buffers behind them, and announces it message by
// message, each when the one before was acknowledged.
type slave struct {
	conn   *Conn
	config Config
	file   int      // of the region, until the handshake is over
	steps  []answer // left to send
	state  slaveState
}

type slaveState int

const (
	waitHello slaveState = iota
	waitAck
	waitConnected
	slaveConnected
)

func (s *slave) connected() bool { return s.state == slaveConnected }

// close gives back what only the handshake needed.
func (s *slave) close() { closeFile(s.file) }

func (s *slave) handle(received wire.Message, fd int) (answer, error) {
	closeFile(fd) // a master sends none: the message is out of order
	switch r := received.(type) {
	case wire.Hello:
		if s.state == waitHello {
			return s.hello(r)
		}
	case wire.Ack:
		if s.state == waitAck {
			return s.next(), nil
		}
	case wire.Connected:
		if s.state == waitConnected {
			s.conn.peer.Interface = r.Interface
			s.state = slaveConnected
			// Not before: a master may set heads to 0 until now.
			return answer{}, s.conn.guard(s.offer)
		}
	}
	return answer{}, fmt.Errorf("%w: %T", ErrOrder, received)
}

func (s *slave) offer() error {
	for _, q := range s.conn.rx {
		q.ring.MaskInterrupts()
		q.offer()
	}
	return nil
}

// next is the message to send, after which there is another or CONNECTED.
func (s *slave) next() answer {
	a := s.steps[0]
	s.steps = s.steps[1:]
	s.state = waitAck
	if len(s.steps) == 0 {
		s.state = waitConnected
	}
	return a
}

// hello makes the region as far as the master allows, and the messages that
// announce it.
func (s *slave) hello(r wire.Hello) (answer, error) {
	s.conn.peer.Application = r.Name
	if r.MinVersion > wire.Version || r.MaxVersion < wire.Version {
		return answer{}, fmt.Errorf("%w: 0x%x to 0x%x, not 2.0", ErrVersion, r.MinVersion, r.MaxVersion)
	}
	log := min(log2(s.config.RingSize), r.MaxLog2RingSize)
	if log < shm.MinLog2 {
		return answer{}, fmt.Errorf("%w: the peer allows 2^%d slots", ErrRing, log)
	}
	init := wire.Init{Version: wire.Version, ID: s.config.ID, Mode: uint8(s.config.Mode), Secret: s.config.Secret.field(), Name: s.config.Application}
	s.steps = append(s.steps, answer{init, -1})
	pairs := s.config.QueuePairs
	l := layout{
		log2:   log,
		s2m:    min(pairs, int(r.MaxS2MRing)+1),
		m2s:    min(pairs, int(r.MaxM2SRing)+1),
		buffer: s.config.BufferSize,
	}
	if err := s.makeRegion(l); err != nil {
		return answer{}, err
	}
	if err := s.conn.guard(func() error { return s.makeQueues(l) }); err != nil {
		return answer{}, err
	}
	s.steps = append(s.steps, answer{wire.Connect{Interface: s.config.Name}, -1})
	return s.next(), nil
}

// makeRegion makes the one region of the connection.
func (s *slave) makeRegion(l layout) error {
	region, fd, err := shm.Create("memif", int(l.size()))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResources, err)
	}
	c := s.conn
	c.regions, c.memory = append(c.regions, region), append(c.memory, region.Bytes)
	s.file = fd
	s.steps = append(s.steps, answer{wire.AddRegion{Index: 0, Size: l.size()}, fd})
	return nil
}

func (s *slave) makeQueues(l layout) error {
	for n := range l.s2m + l.m2s {
		fd, err := newEventfd()
		if err != nil {
			return err
		}
		announce := wire.AddRing{Index: uint16(n - l.s2m), Offset: uint32(l.ringAt(n)), Log2RingSize: l.log2}
		add := s.conn.addRx
		if n < l.s2m {
			announce.Flags, announce.Index = wire.FlagS2M, uint16(n)
			add = s.conn.addTx
		}
		q := add(fd)
		q.memory = s.conn.memory
		if q.ring, err = shm.Format(q.memory[0], announce.Offset, l.log2); err != nil {
			return fmt.Errorf("%w: %w", ErrResources, err)
		}
		q.buffer = l.buffer
		q.ownAt = uint32(l.buffersAt(n))
		q.own = q.memory[0][q.ownAt:][:l.buffer<<l.log2]
		s.steps = append(s.steps, answer{announce, fd})
	}
	return nil
}

// layout is where things are in a slave's region: rings, S2M first, then the
// buffers of each, from a page's start. Offsets and sizes are in bytes.
type layout struct {
	log2     uint8
	s2m, m2s int // rings
	buffer   int
}

func (l layout) ringAt(n int) uint64 { return uint64(n) * uint64(shm.Bytes(l.log2)) }

func (l layout) buffersAt(n int) uint64 {
	page := uint64(unix.Getpagesize())
	start := (l.ringAt(l.s2m+l.m2s) + page - 1) / page * page
	return start + uint64(n)*uint64(l.buffer)<<l.log2
}

func (l layout) size() uint64 { return l.buffersAt(l.s2m + l.m2s) }

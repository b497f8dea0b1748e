// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"fmt"

	"github.com/polynic/polynic/memif/internal/shm"
	"github.com/polynic/polynic/memif/internal/wire"
)

// master is the master's side of a handshake:
//
//	HELLO →, INIT ←, ADD_REGION ← …, ADD_RING ← …, CONNECT ←, CONNECTED →
//
// with an ACK for every INIT, ADD_REGION and ADD_RING. Nothing of the slave's
// is used before CONNECT, when its regions and rings are complete.
type master struct {
	listener *Listener
	conn     *Conn
	id       uint32 // of the interface asked for
	rings    []announced
	ready    bool
}

// announced is a ring of the slave's, and the queue it is for.
type announced struct {
	wire.AddRing
	queue *queue
}

func (m *master) connected() bool { return m.ready }

func (m *master) hello() wire.Hello {
	c := m.listener.config
	return wire.Hello{
		Name:            c.Application,
		MinVersion:      wire.Version,
		MaxVersion:      wire.Version,
		MaxRegion:       maxRegions - 1,
		MaxM2SRing:      uint16(c.QueuePairs - 1),
		MaxS2MRing:      uint16(c.QueuePairs - 1),
		MaxLog2RingSize: log2(c.RingSize),
	}
}

func (m *master) handle(received wire.Message, fd int) (answer, error) {
	err := fmt.Errorf("%w: %T", ErrOrder, received)
	started := m.conn.ifc != nil
	var reply wire.Message = wire.Ack{}
	switch r := received.(type) {
	case wire.Init:
		if !started {
			err = m.init(r)
		}
	case wire.AddRegion:
		if started {
			err = m.addRegion(r, fd)
		}
		closeFile(fd) // the mapping is enough
	case wire.AddRing:
		if started {
			err = m.addRing(r, fd)
		}
		if err != nil {
			closeFile(fd)
		}
	case wire.Connect:
		if started {
			err = m.connect(r)
			reply = wire.Connected{Interface: m.conn.ifc.config.Name}
		}
	}
	return answer{m: reply, fd: -1}, err
}

func (m *master) init(r wire.Init) error {
	m.id = r.ID
	m.conn.peer.Application = r.Name
	if r.Version != wire.Version {
		return fmt.Errorf("%w: %d.%d, not 2.0", ErrVersion, r.Version>>8, r.Version&0xff)
	}
	i, err := m.listener.find(r)
	if err != nil {
		return fmt.Errorf("interface %d: %w", r.ID, err)
	}
	if Mode(r.Mode) != i.config.Mode {
		return fmt.Errorf("%w: %d, not %d", ErrMode, r.Mode, i.config.Mode)
	}
	if err := i.claim(m.conn); err != nil {
		return err
	}
	m.conn.allow(m.listener.config.HandshakeTimeout)
	return nil
}

func (m *master) addRegion(r wire.AddRegion, fd int) error {
	c := m.conn
	if int(r.Index) != len(c.regions) || r.Index >= maxRegions {
		return fmt.Errorf("%w: index %d after %d regions", ErrRegion, r.Index, len(c.regions))
	}
	size := r.Size
	for _, b := range c.memory {
		size += uint64(len(b))
	}
	if size < r.Size || size > c.ifc.config.MaxMemory {
		return fmt.Errorf("%w: %d bytes are more than the interface accepts", ErrRegion, r.Size)
	}
	sealing := shm.Sealed
	if c.ifc.config.AcceptUnsealed {
		sealing = shm.Unsealed
	}
	region, err := shm.Map(fd, r.Size, sealing)
	if err != nil {
		return fmt.Errorf("%w: region %d: %w", ErrRegion, r.Index, err)
	}
	c.regions = append(c.regions, region)
	c.memory = append(c.memory, region.Bytes)
	return nil
}

// addRing makes the queue, which takes the file over; the ring is looked at
// when all regions are known.
func (m *master) addRing(r wire.AddRing, fd int) error {
	c := m.conn
	have := len(c.tx)
	if r.Flags&wire.FlagS2M != 0 {
		have = len(c.rx)
	}
	limits := m.hello()
	switch {
	case int(r.Index) != have || have > int(limits.MaxS2MRing):
		return fmt.Errorf("%w: index %d after %d rings", ErrRing, r.Index, have)
	case r.Log2RingSize > limits.MaxLog2RingSize:
		return fmt.Errorf("%w: 2^%d slots, at most 2^%d are allowed", ErrRing, r.Log2RingSize, limits.MaxLog2RingSize)
	case r.PrivateHdrSize != 0:
		return fmt.Errorf("%w: private headers of %d bytes", ErrRing, r.PrivateHdrSize)
	}
	if err := checkEventfd(fd); err != nil {
		return err
	}
	add := c.addTx
	if r.Flags&wire.FlagS2M != 0 {
		add = c.addRx
	}
	m.rings = append(m.rings, announced{r, add(fd)})
	return nil
}

func (m *master) connect(r wire.Connect) error {
	c := m.conn
	c.peer.Interface = r.Interface
	if len(c.rx) == 0 || len(c.tx) == 0 {
		return fmt.Errorf("%w: none in one direction", ErrRing)
	}
	if err := c.guard(m.attach); err != nil {
		return err
	}
	m.ready = true
	return nil
}

// attach finds the rings in the regions, of which there will be no more.
func (m *master) attach() error {
	c := m.conn
	for _, a := range m.rings {
		if int(a.Region) >= len(c.memory) {
			return fmt.Errorf("%w: in region %d of %d", ErrRing, a.Region, len(c.memory))
		}
		ring, err := shm.Attach(c.memory[a.Region], a.Offset, a.Log2RingSize)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRing, err)
		}
		a.queue.ring, a.queue.memory = ring, c.memory
	}
	for _, q := range c.rx {
		q.ring.MaskInterrupts()
	}
	return nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/polynic/polynic/memif/internal/shm"
	"github.com/polynic/polynic/memif/internal/wire"
)

// Limits of the protocol and of this package.
const (
	// MaxPacket is the longest packet, in bytes.
	MaxPacket = 65535
	// MaxRingSize and MinRingSize bound the slots of a ring.
	MaxRingSize = 1 << shm.MaxLog2
	MinRingSize = 1 << shm.MinLog2
	// MaxQueuePairs bounds the rings of one direction.
	MaxQueuePairs = 256
	// MaxSecret is the longest secret, in bytes: other implementations end the
	// 24 bytes that the protocol has with a zero.
	MaxSecret = wire.SecretLen - 1
	// maxRegions bounds the regions of one connection. DPDK with zero-copy has
	// one per list of memory segments and one for the rings.
	maxRegions = 64
)

// Mode is what an interface carries; both peers must have the same.
type Mode uint8

// The modes. The third of the protocol, punt/inject, no peer implements.
const (
	Ethernet Mode = Mode(wire.ModeEthernet)
	IP       Mode = Mode(wire.ModeIP)
)

// Config describes one interface. The zero value is an Ethernet interface of
// id 0 with no secret, one queue pair and 1024 slots of 2048 bytes.
type Config struct {
	// ID tells apart the interfaces of one socket.
	ID uint32
	// Mode is Ethernet or IP.
	Mode Mode
	// Secret, at most MaxSecret bytes, is compared by the master if it has one.
	Secret Secret
	// Name of the interface and of the application, told to the peer; at most
	// 31 bytes of each arrive.
	Name, Application string

	// QueuePairs and RingSize are, for a slave, what it asks for; the master
	// may allow less. A master takes what Listener allows and ignores these.
	QueuePairs int
	RingSize   int // slots, a power of 2
	// BufferSize is the length in bytes of a slave's buffers. Longer packets
	// are spread over several.
	BufferSize int

	// MaxPacket is the longest packet in bytes that is received or sent; others
	// are dropped and counted. 0 means the package's MaxPacket.
	MaxPacket int
	// MaxMemory bounds the regions of a slave, in bytes, as a master accepts
	// them. What a peer's packets touch is charged to this process too. 0 means
	// 1 GiB.
	MaxMemory uint64
	// AcceptUnsealed lets a master accept regions that the slave could shrink
	// later. An access to memory that is gone then ends that connection
	// (ErrFault). DPDK in zero-copy mode needs it.
	AcceptUnsealed bool
	// BusyPoll is how long Wait looks at the rings before it sleeps. 0 means
	// not at all; at most a second.
	BusyPoll time.Duration

	// HandshakeTimeout is how long a slave's handshake may take, from 1 ms to 1 h;
	// 0 means 5 s. For masters, ListenConfig has it.
	HandshakeTimeout time.Duration

	// OnConnect and OnDisconnect are called, one at a time, from the goroutine
	// of the connection: they must return soon and must not close the
	// interface. When OnDisconnect is called, the Conn's memory is gone.
	OnConnect    func(*Conn)
	OnDisconnect func(*Conn, error)
}

// withDefaults checks the configuration and fills in what is 0.
func (c Config) withDefaults() (Config, error) {
	defaults(&c.QueuePairs, 1)
	defaults(&c.RingSize, 1024)
	defaults(&c.BufferSize, 2048)
	defaults(&c.MaxPacket, MaxPacket)
	defaults(&c.MaxMemory, 1<<30)
	defaults(&c.HandshakeTimeout, handshakeTimeout)
	if c.Application == "" {
		c.Application = defaultApplication
	}
	return c, errors.Join(
		within("queue pairs", c.QueuePairs, 1, MaxQueuePairs),
		ringSize(c.RingSize),
		within("buffer size", c.BufferSize, 64, MaxPacket),
		within("longest packet", c.MaxPacket, 64, MaxPacket),
		within("length of the secret", len(c.Secret), 0, MaxSecret),
		within("mode", int(c.Mode), int(Ethernet), int(IP)),
		within("handshake timeout", c.HandshakeTimeout, time.Millisecond, time.Hour),
		within("busy poll", c.BusyPoll, 0, time.Second),
	)
}

const (
	defaultApplication = "go-memif"
	handshakeTimeout   = 5 * time.Second
)

func defaults[T int | uint64 | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

func within[T int | time.Duration](what string, v, least, most T) error {
	if v < least || v > most {
		return fmt.Errorf("memif: %s is %v, want %v to %v", what, v, least, most)
	}
	return nil
}

func ringSize(n int) error {
	if bits.OnesCount(uint(n)) != 1 {
		return fmt.Errorf("memif: ring size is %d, want a power of 2", n)
	}
	return within("ring size", n, MinRingSize, MaxRingSize)
}

func log2(n int) uint8 { return uint8(bits.TrailingZeros(uint(n))) }

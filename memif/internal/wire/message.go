// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package wire holds the messages of memif's control channel, version 2.0.
//
// Each message is one packet of 128 bytes on a unix SOCK_SEQPACKET socket, in
// the byte order of the machine that both peers run on; AddRegion and AddRing
// carry one file descriptor each (SCM_RIGHTS). The layout is that of
// src/plugins/memif/memif.h in FD.io VPP and of drivers/net/memif/memif.h in
// DPDK: packed, a 16-bit type before the fields.
package wire

import (
	"errors"
	"fmt"
)

// Size is the length of every message in bytes.
const Size = 128

// Version is the protocol version 2.0, major number in the high byte.
const Version uint16 = 2 << 8

// The lengths of text fields, in bytes. Peers end a text with a zero byte, so
// that the longest text is one shorter.
const (
	NameLen   = 32
	SecretLen = 24
	ReasonLen = 96
)

// The interface modes of Init.
const (
	ModeEthernet   uint8 = 0
	ModeIP         uint8 = 1
	ModePuntInject uint8 = 2
)

// Errors of Decode.
var (
	ErrSize = errors.New("wrong message size")
	ErrType = errors.New("unknown message type")
)

// Message is one of the messages below.
type Message interface {
	kind() uint16
	put(*writer)
}

// The messages' types on the wire.
const (
	typeAck uint16 = iota + 1
	typeHello
	typeInit
	typeAddRegion
	typeAddRing
	typeConnect
	typeConnected
	typeDisconnect
)

// Ack answers Init, AddRegion and AddRing.
type Ack struct{}

// Hello is the master's first message. The Max fields are the highest index
// that it accepts, not a count.
type Hello struct {
	Name            string // of the application
	MinVersion      uint16
	MaxVersion      uint16
	MaxRegion       uint16
	MaxM2SRing      uint16
	MaxS2MRing      uint16
	MaxLog2RingSize uint8
}

// Init is the slave's first message and says which interface it is for.
type Init struct {
	Version uint16
	ID      uint32
	Mode    uint8
	Secret  [SecretLen]byte // zeros after the end of the text
	Name    string          // of the application
}

// AddRegion hands over a region of shared memory; its file comes with it.
type AddRegion struct {
	Index uint16 // counts from 0 without gaps
	Size  uint64 // bytes
}

// AddRing tells where in a region a ring is; its interrupt eventfd comes with it.
type AddRing struct {
	Flags          uint16 // FlagS2M
	Index          uint16 // counts from 0 without gaps, for each direction
	Region         uint16
	Offset         uint32 // bytes from the start of the region
	Log2RingSize   uint8
	PrivateHdrSize uint16 // no peer uses it; always 0
}

// FlagS2M in AddRing.Flags: the ring carries packets from slave to master.
const FlagS2M uint16 = 1

// Connect ends the slave's list of regions and rings.
type Connect struct {
	Interface string // the slave's name of the interface
}

// Connected answers Connect: packets may flow.
type Connected struct {
	Interface string // the master's name of the interface
}

// Disconnect says why the sender is about to close the channel.
type Disconnect struct {
	Code   uint32
	Reason string
}

// Encode gives the bytes of m. A text that is too long for its field is cut.
func Encode(m Message) [Size]byte {
	var w writer
	w.u16(m.kind())
	m.put(&w)
	return w.b
}

// Decode reads a message. Bytes behind its fields are ignored, as all peers do.
// What is not printable in a text is replaced, so that it may be shown.
func Decode(b []byte) (Message, error) {
	if len(b) != Size {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrSize, len(b), Size)
	}
	r := reader{b}
	switch t := r.u16(); t {
	case typeAck:
		return Ack{}, nil
	case typeHello:
		return r.hello(), nil
	case typeInit:
		return r.init(), nil
	case typeAddRegion:
		return AddRegion{Index: r.u16(), Size: r.u64()}, nil
	case typeAddRing:
		return r.addRing(), nil
	case typeConnect:
		return Connect{Interface: r.text(NameLen)}, nil
	case typeConnected:
		return Connected{Interface: r.text(NameLen)}, nil
	case typeDisconnect:
		return Disconnect{Code: r.u32(), Reason: r.text(ReasonLen)}, nil
	default:
		return nil, fmt.Errorf("%w: %d", ErrType, t)
	}
}

func (Ack) kind() uint16        { return typeAck }
func (Hello) kind() uint16      { return typeHello }
func (Init) kind() uint16       { return typeInit }
func (AddRegion) kind() uint16  { return typeAddRegion }
func (AddRing) kind() uint16    { return typeAddRing }
func (Connect) kind() uint16    { return typeConnect }
func (Connected) kind() uint16  { return typeConnected }
func (Disconnect) kind() uint16 { return typeDisconnect }

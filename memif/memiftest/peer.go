// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package memiftest is a memif peer for tests: it speaks the protocol word by
// word, so that it can also say what no peer should, and has its hands in the
// shared memory.
package memiftest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif/internal/wire"
)

// Patience is how long a Peer waits for the other side.
const Patience = 10 * time.Second

type (
	// Message is one of the messages of the control channel: those below.
	Message = wire.Message
	// Ack answers Init, AddRegion and AddRing.
	Ack = wire.Ack
	// Hello is the master's first message.
	Hello = wire.Hello
	// Init is the slave's first message.
	Init = wire.Init
	// AddRegion comes with the file of a region.
	AddRegion = wire.AddRegion
	// AddRing comes with the eventfd of a ring.
	AddRing = wire.AddRing
	// Connect ends the slave's list of regions and rings.
	Connect = wire.Connect
	// Connected answers Connect.
	Connected = wire.Connected
	// Disconnect says why the channel is about to be closed.
	Disconnect = wire.Disconnect
)

// What goes into messages.
const (
	Version = wire.Version
	FlagS2M = wire.FlagS2M
)

// Secret is the field of an Init.
func Secret(s string) (b [wire.SecretLen]byte) {
	copy(b[:], s)
	return b
}

// Peer is one end of a control channel.
type Peer struct {
	conn *net.UnixConn
}

// Dial connects to a master's socket.
func Dial(address string) (*Peer, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: address})
	if err != nil {
		return nil, err
	}
	return &Peer{conn}, nil
}

// Accept waits for a slave.
func Accept(l *net.UnixListener) (*Peer, error) {
	if err := l.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &Peer{conn}, nil
}

// Close ends the channel without a word.
func (p *Peer) Close() error { return p.conn.Close() }

// Send sends a message and files, however many.
func (p *Peer) Send(m Message, fds ...int) error {
	b := wire.Encode(m)
	return p.SendBytes(b[:], fds...)
}

// SendBytes sends what may be no message.
func (p *Peer) SendBytes(b []byte, fds ...int) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, _, err := p.conn.WriteMsgUnix(b, unix.UnixRights(fds...), nil)
	return err
}

// Receive waits for a message and gives the files that came along. When the
// other side has closed the channel, the error is io.EOF.
func (p *Peer) Receive() (Message, []int, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return nil, nil, err
	}
	var b [2 * wire.Size]byte
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, _, _, err := p.conn.ReadMsgUnix(b[:], oob)
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, io.EOF
	}
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, nil, err
		}
		fds = append(fds, got...)
	}
	m, err := wire.Decode(b[:n])
	return m, fds, err
}

// ErrRefused is what the other side said with DISCONNECT.
type ErrRefused struct{ Disconnect }

func (e ErrRefused) Error() string { return fmt.Sprintf("DISCONNECT %d: %s", e.Code, e.Reason) }

// Expect waits for a message of type M, which comes without files.
func Expect[M Message](p *Peer) (M, error) {
	var want M
	m, fds, err := p.Receive()
	for _, fd := range fds {
		unix.Close(fd)
	}
	if err != nil {
		return want, err
	}
	switch m := m.(type) {
	case M:
		return m, nil
	case Disconnect:
		return want, ErrRefused{m}
	default:
		return want, fmt.Errorf("got %#v, want %T", m, want)
	}
}

// Ask sends a message and waits for its ACK.
func (p *Peer) Ask(m Message, fds ...int) error {
	if err := p.Send(m, fds...); err != nil {
		return err
	}
	_, err := Expect[Ack](p)
	return err
}

// End waits until the other side closes the channel, and gives what it said
// before, if it said why.
func (p *Peer) End() (Disconnect, error) {
	var said Disconnect
	for {
		m, fds, err := p.Receive()
		for _, fd := range fds {
			unix.Close(fd)
		}
		switch {
		case errors.Is(err, io.EOF):
			return said, nil
		case errors.Is(err, unix.ECONNRESET): // is said once, before what is left to read
			continue
		case err != nil:
			return said, err
		}
		if d, ok := m.(Disconnect); ok {
			said = d
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vppapi is the connection to VPP's binary API over its unix socket: many
// requests on their way at once, replies matched by their context, a VPP that hangs
// noticed. The messages are those of GoVPP, and so is their encoding; of its own
// connection there is no use here, see docs/decisions/0019-a-connection-of-our-own.md.
package vppapi

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/memclnt"
	"go.fd.io/govpp/codec"
	"golang.org/x/sync/semaphore"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/unixsock"
)

const (
	// Patience is how long VPP may leave everything that it was asked unanswered,
	// before it counts as hung. It must let an ADD end within 10 s.
	Patience = 5 * time.Second
	// headerLen is that of the frame around each message (msgbuf_t in
	// vlibmemory/api_common.h): 8 bytes of the server's, the length, 4 more.
	headerLen = 16
	// maxMessage bounds what VPP may send as one message, in bytes. The table of
	// messages is the longest, of some 150 KiB.
	maxMessage = 16 << 20
	// createID is the number of sockclnt_create, the only message with a fixed one.
	createID = 15
	// clientName is how VPP lists the connection.
	clientName = "polynic"
)

// Conn is one connection to a running VPP. It may be used concurrently. Once it
// failed it stays so; the Client makes another.
type Conn struct {
	socket net.Conn
	index  uint32            // VPP's for this client
	ids    map[string]uint16 // by NAME_CRC
	notify func(api.Message)
	// Version is VPP's own word for it, such as 25.10-release.
	Version string

	writing sync.Mutex
	slow    *semaphore.Weighted // of requests that take long

	mu      sync.Mutex // guards what follows
	next    uint32     // context of the next request
	pending map[uint32]*call
	late    map[uint16]bool // replies of a form of their own; see isLate
	events  map[uint16]func() api.Message
	failure error

	done chan struct{} // closed once it failed
	read sync.WaitGroup
}

// dial connects and learns the numbers of VPP's messages. notify is called, by one
// goroutine, with the events that are subscribed to.
func dial(ctx context.Context, path string, notify func(api.Message)) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	socket, err := unixsock.Dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%w: VPP at %s: %w", dataplane.ErrAway, path, err)
	}
	c := &Conn{
		socket: socket, pending: map[uint32]*call{}, next: 1, done: make(chan struct{}), slow: semaphore.NewWeighted(maxSlow),
		events: map[uint16]func() api.Message{}, notify: notify,
	}
	reader := bufio.NewReaderSize(patient{c}, 1<<16)
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	err = c.open(reader)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: VPP at %s: hello: %w", dataplane.ErrAway, path, err), socket.Close())
	}
	if err := socket.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	c.read.Add(1)
	go c.receive(reader)
	return c, nil
}

// open says hello and takes the table of messages.
func (c *Conn) open(r *bufio.Reader) error {
	hello, err := codec.EncodeMsg(&memclnt.SockclntCreate{Name: clientName}, createID)
	if err != nil {
		return err
	}
	if _, err := c.socket.Write(frame(nil, hello)); err != nil {
		return err
	}
	data, err := readMessage(r)
	if err != nil {
		return err
	}
	var reply memclnt.SockclntCreateReply
	if err := codec.DecodeMsg(data, &reply); err != nil {
		return err
	}
	if err := api.RetvalToVPPApiError(reply.Response); err != nil {
		return err
	}
	c.index = reply.Index
	c.ids = make(map[string]uint16, len(reply.MessageTable))
	for _, m := range reply.MessageTable {
		c.ids[cString(m.Name)] = m.Index
	}
	return nil
}

// Done is closed once the connection failed.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection failed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// Close ends the connection and waits for its goroutine.
func (c *Conn) Close() error {
	c.fail(errors.New("closed"))
	c.read.Wait()
	return nil
}

// fail ends the connection: whoever waits for a reply gets the reason.
func (c *Conn) fail(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return
	}
	c.failure = fmt.Errorf("%w: connection to VPP: %w", dataplane.ErrAway, reason)
	for _, waiting := range c.pending {
		waiting.end(c.failure)
	}
	c.pending = nil
	close(c.done)
	_ = c.socket.Close() // the reason is told
}

// receive takes what VPP sends until the connection fails.
func (c *Conn) receive(r *bufio.Reader) {
	defer c.read.Done()
	for {
		data, err := readMessage(r)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("it hangs: no reply within %s", Patience)
		}
		if err != nil {
			c.fail(err)
			return
		}
		c.take(data)
	}
}

// patient reads from the socket, and minds a deadline only while a reply is waited
// for.
type patient struct{ *Conn }

// Read implements io.Reader.
func (p patient) Read(to []byte) (int, error) {
	for {
		n, err := p.socket.Read(to)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !p.isIdle() {
			return n, err
		}
	}
}

// isIdle reports whether the connection is up and no reply is waited for.
func (c *Conn) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil || len(c.pending) > 0 {
		return false
	}
	c.setDeadline()
	return true
}

// take hands a message to who waits for it. Numbers stand in it big endian: its
// own, of 2 bytes, and the context, of 4.
func (c *Conn) take(data []byte) {
	if len(data) < 6 {
		c.fail(fmt.Errorf("a message of %d bytes", len(data)))
		return
	}
	id, ticket := binary.BigEndian.Uint16(data), binary.BigEndian.Uint32(data[2:])
	if len(data) >= 10 && c.isLate(id) {
		ticket = binary.BigEndian.Uint32(data[6:])
	}
	if event := c.answer(id, ticket, data); event != nil && codec.DecodeMsg(data, event) == nil {
		c.notify(event)
	}
}

// isLate reports whether a reply has its context behind a client's index, like a
// request: VPP has one such, feature_is_enabled_reply.
func (c *Conn) isLate(id uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.late[id]
}

// setLate notes that it is such a reply, if it is.
func (c *Conn) setLate(id uint16, reply api.Message) {
	if reply.GetMessageType() != api.RequestMessage {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late == nil {
		c.late = map[uint16]bool{}
	}
	c.late[id] = true
}

// answer hands a reply to its call, and makes an empty event of a message that is
// one.
func (c *Conn) answer(id uint16, ticket uint32, data []byte) api.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if event, ok := c.events[id]; ok {
		return event()
	}
	waiting, ok := c.pending[ticket]
	if ok && waiting.take(id, data) {
		delete(c.pending, ticket)
	}
	c.setDeadline()
	return nil
}

// setDeadline bounds the wait for the next message, if any is waited for; under
// mu.
func (c *Conn) setDeadline() {
	deadline := time.Time{}
	if len(c.pending) > 0 {
		deadline = time.Now().Add(Patience)
	}
	_ = c.socket.SetReadDeadline(deadline) // fails on a closed socket, which the reader tells
}

// readMessage reads one message out of its frame.
func readMessage(r *bufio.Reader) ([]byte, error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[8:])
	if length > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	data := make([]byte, length)
	_, err := io.ReadFull(r, data)
	return data, err
}

// frame appends a message in its frame.
func frame(to, message []byte) []byte {
	var header [headerLen]byte
	binary.BigEndian.PutUint32(header[8:], uint32(len(message)))
	return append(append(to, header[:]...), message...)
}

// cString cuts a string of fixed size at its end.
func cString(s string) string {
	for i := range len(s) {
		if s[i] == 0 {
			return s[:i]
		}
	}
	return s
}

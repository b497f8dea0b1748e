// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/codec"
)

// A message is framed by a msgbuf_t of VPP's (vlibmemory/api_common.h): 8 bytes
// that mean nothing on the wire, the length of the message, and 4 more.
const (
	frameLen  = 16
	lengthAt  = 8
	headerLen = 10 // of a request: number, client's index, context
	// maxRequest and maxReply bound messages, in bytes. The longest request in use
	// has some thousand, VPP's table of its messages some 200,000.
	maxRequest = 1 << 16
	maxReply   = 1 << 22
)

// readMessage reads one message of at most so many bytes, without its frame.
func readMessage(r io.Reader, most uint32) ([]byte, error) {
	var frame [frameLen]byte
	if _, err := io.ReadFull(r, frame[:]); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	length := binary.BigEndian.Uint32(frame[lengthAt:])
	if length > most {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return data, nil
}

// appendMessage appends a message with its frame.
func appendMessage(b, data []byte) []byte {
	var frame [frameLen]byte
	binary.BigEndian.PutUint32(frame[lengthAt:], uint32(len(data)))
	return append(append(b, frame[:]...), data...)
}

// encode encodes a message with what the kind of its header has beside the
// number: the client's index, the context of the request, or both.
func encode(m api.Message, number uint16, index, request uint32) ([]byte, error) {
	data, err := codec.EncodeMsg(m, number)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.GetMessageName(), err)
	}
	switch m.GetMessageType() {
	case api.RequestMessage:
		binary.BigEndian.PutUint32(data[2:], index)
		binary.BigEndian.PutUint32(data[6:], request)
	case api.ReplyMessage:
		binary.BigEndian.PutUint32(data[2:], request)
	case api.EventMessage:
		binary.BigEndian.PutUint32(data[2:], index)
	case api.OtherMessage:
	}
	return data, nil
}

// listens reports whether somebody accepts connections there.
func listens(network, socket string) bool {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), network, socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// outbox holds what is to be sent to a client. Like VPP's it has no bound, so
// that a client that sends and does not read blocks nobody.
type outbox struct {
	mu     sync.Mutex
	wake   *sync.Cond
	waits  []byte
	closed bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.wake = sync.NewCond(&o.mu)
	return o
}

func (o *outbox) put(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = appendMessage(o.waits, data)
	o.wake.Signal()
}

// close lets drain end once everything is sent.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.wake.Signal()
}

// drain writes what is put until the box is closed or the writer fails.
func (o *outbox) drain(w io.Writer) {
	for {
		o.mu.Lock()
		for len(o.waits) == 0 && !o.closed {
			o.wake.Wait()
		}
		data := o.waits
		o.waits = nil
		o.mu.Unlock()
		if len(data) == 0 {
			return
		}
		if _, err := w.Write(data); err != nil {
			return
		}
	}
}

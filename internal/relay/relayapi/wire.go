// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Version is that of the protocol: one JSON object a line, each with the
// version of its sender. Fields may be added within a version, and a reader
// ignores those it does not know. Whatever an older relay must not ignore gets
// an Op of its own, which that relay refuses by name, or a new Version.
const Version = 1

// The lengths in bytes of the longest lines. A longer one ends the connection.
const (
	// MaxMessage is that of a request.
	MaxMessage = 4 << 20
	// MaxReply is that of a reply, enough for the state of some 16,000 ports.
	MaxReply = 16 << 20
)

// Op is what a Request asks for.
type Op string

// The operations. A relay carries out those of one connection in their order.
const (
	OpAttach Op = "attach"
	OpDetach Op = "detach"
	OpList   Op = "list"

	OpAttachMemifs Op = "attach-memifs"
	OpListMemifs   Op = "list-memifs"

	OpWorker Op = "worker"
)

// Request is a message to the relay.
type Request struct {
	Version int `json:"version"`
	// ID is repeated in the reply; at least 1.
	ID    uint64    `json:"id"`
	Op    Op        `json:"op"`
	Ports []TapPort `json:"ports,omitempty"` // OpAttach
	IDs   []string  `json:"ids,omitempty"`   // OpDetach, for ports of any kind

	Memifs []MemifPort `json:"memifs,omitempty"` // OpAttachMemifs
}

// Reply is a message from the relay: the answer to the request of the same ID,
// or, with ID 0, an event.
type Reply struct {
	Version int    `json:"version"`
	ID      uint64 `json:"id,omitempty"`
	// Error is set when the whole request was refused.
	Error *Error `json:"error,omitempty"`
	// Errors answers OpAttach and OpAttachMemifs: one per port, in order, null for success.
	Errors []*Error `json:"errors,omitempty"`
	// Ports answers OpList, ordered by ID.
	Ports []PortState `json:"ports,omitempty"`
	// Memifs answers OpListMemifs, ordered by ID.
	Memifs []MemifState `json:"memifs,omitempty"`
	// Worker answers OpWorker.
	Worker *WorkerState `json:"worker,omitempty"`
	Event  *Event       `json:"event,omitempty"`
}

// Reader reads messages; not safe for concurrent use.
type Reader struct{ lines *bufio.Scanner }

// NewReader reads requests from r.
func NewReader(r io.Reader) *Reader { return newReader(r, MaxMessage) }

// NewReplyReader reads replies from r.
func NewReplyReader(r io.Reader) *Reader { return newReader(r, MaxReply) }

func newReader(r io.Reader, longest int) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), longest)
	return &Reader{lines: lines}
}

// Request reads the next request. Any error but io.EOF means that the rest of
// the stream is of no use.
func (r *Reader) Request() (Request, error) {
	var q Request
	if err := r.read(&q); err != nil {
		return Request{}, err
	}
	if q.ID == 0 {
		return Request{}, errors.New("relay message: a request without id")
	}
	return q, nil
}

// Reply reads the next reply. Any error but io.EOF means that the rest of the
// stream is of no use.
func (r *Reader) Reply() (Reply, error) {
	var a Reply
	if err := r.read(&a); err != nil {
		return Reply{}, err
	}
	if a.Version != Version {
		return Reply{}, fmt.Errorf("relay message: version %d, want %d", a.Version, Version)
	}
	return a, nil
}

func (r *Reader) read(message any) error {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return fmt.Errorf("relay message: %w", err)
		}
		return io.EOF
	}
	if err := json.Unmarshal(r.lines.Bytes(), message); err != nil {
		return fmt.Errorf("relay message: %w", err)
	}
	return nil
}

// Encode renders a message with its final newline.
func Encode(message any) ([]byte, error) {
	longest := MaxMessage
	if _, ok := message.(Reply); ok {
		longest = MaxReply
	}
	line, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("relay message: %w", err)
	}
	if len(line) >= longest {
		return nil, fmt.Errorf("relay message: %d bytes long, at most %d can be sent", len(line), longest-1)
	}
	return append(line, '\n'), nil
}

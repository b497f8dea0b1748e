// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/polynic/polynic/internal/model"
)

// contents is what a file holds: the attachments put and not deleted, the
// allocations made and not freed.
type contents struct {
	boot        string
	live        live
	attachments map[model.AttachmentID]model.Attachment
	allocations map[string]model.MemifAllocation
	// lost counts the records that are missing or do not verify; torn says that
	// the last line has no end.
	lost int
	torn bool

	seq    uint64 // of the next record
	end    int64  // where the last good record ends, in bytes
	unread int    // lines since then
}

// replay reads a journal of the node. Lines that do not verify are skipped.
// The error wraps errUnusable where the header does not verify, or is another
// node's or another format's; any other error is the reader's.
func replay(r io.Reader, node string) (*contents, error) {
	in := &lines{in: bufio.NewReaderSize(r, maxLine)}
	line, err := in.next()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	h, err := decodeHeader(line, node)
	if err != nil {
		return nil, err
	}
	c := &contents{
		boot: h.Boot, live: newLive(), seq: 1, end: in.pos,
		attachments: map[model.AttachmentID]model.Attachment{},
		allocations: map[string]model.MemifAllocation{},
	}
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			c.lost += c.unread
			c.torn = !errors.Is(err, io.EOF)
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		if !c.apply(line) {
			c.unread++
			continue
		}
		c.end, c.unread = in.pos, 0
	}
}

func decodeHeader(line []byte, node string) (*header, error) {
	r, err := decode(line)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: the header: %w", errUnusable, err)
	case r.Op != opHeader || r.Header == nil:
		return nil, fmt.Errorf("%w: it does not begin with a header", errUnusable)
	case r.Header.Version != version:
		return nil, fmt.Errorf("%w: format version %d (this program knows %d)", errUnusable, r.Header.Version, version)
	case r.Header.Node != node:
		return nil, fmt.Errorf("%w: it is the journal of node %q, not of %q", errUnusable, r.Header.Node, node)
	}
	return r.Header, nil
}

// apply takes one line; false means that it is no record, or not the place for
// it (the file system gave an old block).
func (c *contents) apply(line []byte) bool {
	r, err := decode(line)
	if err != nil || r.Seq < c.seq {
		return false
	}
	if !c.change(r) {
		return false
	}
	// The gap says how many records the unread lines were: damage may join or
	// split lines, or take them without a trace.
	c.lost += int(r.Seq - c.seq)
	c.seq = r.Seq + 1
	return true
}

// change makes a record's change; false means that there is none in it.
func (c *contents) change(r record) bool {
	switch r.Op {
	case opPut:
		var a model.Attachment
		if err := json.Unmarshal(r.Attachment, &a); err != nil || a.ID.IsZero() {
			return false
		}
		c.live.attachments.put(a.ID, r.Attachment)
		c.attachments[a.ID] = a
	case opDelete:
		if r.ID == nil {
			return false
		}
		c.live.attachments.remove(*r.ID)
		delete(c.attachments, *r.ID)
	case opAllocate:
		a, ok := decodeAllocation(r.Allocation)
		if !ok {
			return false
		}
		c.live.allocations.put(a.ID, r.Allocation)
		c.allocations[a.ID] = a
	case opFree:
		c.live.allocations.remove(r.Freed)
		delete(c.allocations, r.Freed)
	case opHeader:
		return false // a file has one, at its beginning
	default:
		return false
	}
	return true
}

// lines cuts a file into lines.
type lines struct {
	in  *bufio.Reader
	pos int64 // after the line given last, in bytes
}

// next gives the next line without its newline, valid until the next call; one
// that is too long for a record is given as an empty one. The error is io.EOF
// where nothing is left, and io.ErrUnexpectedEOF where no newline is.
func (l *lines) next() ([]byte, error) {
	line, err := l.read()
	if err == nil {
		return line[:len(line)-1], nil
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.read()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
	}
	return nil, err
}

func (l *lines) read() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	l.pos += int64(len(line))
	return line, err
}

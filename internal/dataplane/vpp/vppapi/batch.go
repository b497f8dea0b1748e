// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppapi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/memclnt"
	"go.fd.io/govpp/codec"

	"github.com/polynic/polynic/internal/dataplane"
)

// Batch is a series of requests that VPP gets in one go and works off in their
// order. It goes on behind a request that fails.
type Batch struct {
	requests []*Request
}

// Request is one request of a Batch, and what is done with its reply.
type Request struct {
	message api.Message
	reply   api.Message
	detail  func(data []byte) error // of a dump
	failed  func(error) error
	isSlow  bool
}

// maxSlow is how many slow requests VPP has on its hands at most. It sends the
// replies to what it read at once only after the last of these: a fifth of a second,
// or some seconds where the machine has much else to do.
const maxSlow = 4

// Slow says that the request takes VPP some 50 ms, such as when it has to wait for
// the kernel.
func (r *Request) Slow() *Request {
	r.isSlow = true
	return r
}

// Len is the number of messages that VPP is asked for.
func (b *Batch) Len() int { return len(b.requests) }

// Name puts words around the errors of the requests from the given one on.
func (b *Batch) Name(first int, say func(error) error) {
	for _, r := range b.requests[first:] {
		failed := r.failed
		r.failed = func(err error) error {
			if failed != nil {
				err = failed(err)
			}
			if err == nil {
				return nil
			}
			return say(err)
		}
	}
}

// Call asks for something. reply is filled by the time that Do returns.
func (b *Batch) Call(message, reply api.Message) *Request {
	r := &Request{message: message, reply: reply}
	b.requests = append(b.requests, r)
	return r
}

// Dump asks for a list, of which take gets each element, in Do's goroutine.
func Dump[T any, PT interface {
	*T
	api.Message
}](b *Batch, message api.Message, take func(PT),
) *Request {
	r := b.Call(message, PT(new(T)))
	r.detail = func(data []byte) error {
		element := PT(new(T))
		if err := codec.DecodeMsg(data, element); err != nil {
			return err
		}
		take(element)
		return nil
	}
	return r
}

// OnError has failed say what an error of VPP's means: with another error, usually
// the same with the object's name around it, or nil where it is none.
func (r *Request) OnError(failed func(error) error) *Request {
	r.failed = failed
	return r
}

// OnErrorSay puts words around an error: CONTEXT: ERROR.
func (r *Request) OnErrorSay(format string, args ...any) *Request {
	return r.OnError(func(err error) error { return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err) })
}

// call is a request on its way.
type call struct {
	replyID, endID uint16 // of a dump, endID ends the list
	data           [][]byte
	err            error
	ended          bool
	batch          *flight
}

// flight is a batch on its way; Conn.mu guards it.
type flight struct {
	left int
	done chan struct{}
}

// take gets a message with the call's context, and reports whether it was the
// last; under the connection's mu.
func (c *call) take(id uint16, data []byte) bool {
	switch id {
	case c.endID:
		if c.endID == c.replyID {
			c.data = append(c.data, data)
		}
		c.end(nil)
		return true
	case c.replyID:
		c.data = append(c.data, data)
		return false
	default:
		c.end(fmt.Errorf("a reply of another kind, number %d", id))
		return true
	}
}

func (c *call) end(err error) {
	if c.ended {
		return
	}
	c.ended, c.err = true, err
	if c.batch.left--; c.batch.left == 0 {
		close(c.batch.done)
	}
}

// Do carries out a batch. The error is that of the first request that failed, as its
// OnError has it, or wraps dataplane.ErrAway where the connection did.
func (c *Conn) Do(ctx context.Context, b *Batch) error {
	var first error
	for rest := b.requests; len(rest) > 0; {
		part, slow := 0, int64(0)
		for part < len(rest) && slow < maxSlow {
			if rest[part].isSlow {
				slow++
			}
			part++
		}
		err := c.doPart(ctx, &Batch{requests: rest[:part]}, slow)
		if errors.Is(err, dataplane.ErrAway) || ctx.Err() != nil {
			return err
		}
		if first == nil {
			first = err
		}
		rest = rest[part:]
	}
	return first
}

// doPart carries out what VPP gets in one go.
func (c *Conn) doPart(ctx context.Context, b *Batch, slow int64) error {
	if err := c.slow.Acquire(ctx, slow); err != nil {
		return fmt.Errorf("wait for VPP: %w", err)
	}
	defer c.slow.Release(slow)
	calls, err := c.calls(b)
	if err != nil {
		return err
	}
	contexts, err := c.send(b, calls)
	if err != nil {
		return err
	}
	select {
	case <-calls[0].batch.done:
	case <-ctx.Done():
		c.forget(contexts)
		return fmt.Errorf("wait for VPP: %w", ctx.Err())
	}
	var first error
	for i, r := range b.requests {
		err := r.result(calls[i])
		if errors.Is(err, dataplane.ErrAway) {
			return err
		}
		if err != nil && r.failed != nil {
			err = r.failed(err)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// calls finds the numbers of a batch's messages.
func (c *Conn) calls(b *Batch) ([]*call, error) {
	batch := &flight{left: len(b.requests), done: make(chan struct{})}
	calls := make([]*call, len(b.requests))
	for i, r := range b.requests {
		id, err := c.id(r.reply)
		if err != nil {
			return nil, err
		}
		c.setLate(id, r.reply)
		calls[i] = &call{replyID: id, endID: id, batch: batch}
		if r.detail == nil {
			continue
		}
		if calls[i].endID, err = c.id(&memclnt.ControlPingReply{}); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// send writes the batch's requests, each with a context of its own. A list is
// followed by a ping of the same context, which tells its end.
func (c *Conn) send(b *Batch, calls []*call) ([]uint32, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	contexts := c.register(calls)
	if contexts == nil {
		return nil, c.Err()
	}
	var out []byte
	for i, r := range b.requests {
		messages := []api.Message{r.message}
		if r.detail != nil {
			messages = append(messages, &memclnt.ControlPing{})
		}
		for _, m := range messages {
			data, err := c.encode(m, contexts[i])
			if err != nil {
				c.forget(contexts)
				return nil, err
			}
			out = frame(out, data)
		}
	}
	// A VPP that hangs takes nothing once the socket is full.
	_ = c.socket.SetWriteDeadline(time.Now().Add(Patience)) // fails on a closed socket, which Write tells
	if _, err := c.socket.Write(out); err != nil {
		c.fail(err) // half a message may have been written
		return nil, c.Err()
	}
	return contexts, nil
}

// register gives each call its context; nil once the connection failed.
func (c *Conn) register(calls []*call) []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return nil
	}
	contexts := make([]uint32, len(calls))
	isIdle := len(c.pending) == 0
	for i, call := range calls {
		for c.next == 0 || c.pending[c.next] != nil {
			c.next++
		}
		contexts[i] = c.next
		c.pending[c.next] = call
		c.next++
	}
	if isIdle {
		c.setDeadline()
	}
	return contexts
}

// forget gives up waiting.
func (c *Conn) forget(contexts []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ticket := range contexts {
		delete(c.pending, ticket)
	}
	if len(c.pending) == 0 {
		c.setDeadline()
	}
}

// encode gives a request its head: the client's index and the context.
func (c *Conn) encode(m api.Message, ticket uint32) ([]byte, error) {
	id, err := c.id(m)
	if err != nil {
		return nil, err
	}
	data, err := codec.EncodeMsg(m, id)
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.GetMessageName(), err)
	}
	binary.BigEndian.PutUint32(data[2:], c.index)
	binary.BigEndian.PutUint32(data[6:], ticket)
	return data, nil
}

// result decodes what came for a request.
func (r *Request) result(c *call) error {
	if c.err != nil {
		return c.err
	}
	for _, data := range c.data {
		var err error
		if r.detail != nil {
			err = r.detail(data)
		} else if err = codec.DecodeMsg(data, r.reply); err == nil {
			err = retval(r.reply)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.message.GetMessageName(), err)
		}
	}
	return nil
}

// retval is VPP's error in a reply.
func retval(reply api.Message) error {
	field := reflect.ValueOf(reply).Elem().FieldByName("Retval")
	if !field.IsValid() {
		return nil
	}
	return api.RetvalToVPPApiError(int32(field.Int())) //nolint:gosec // it is one of 32 bits
}

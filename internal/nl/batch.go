// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// Batch is a series of rtnetlink requests that the kernel gets in one system
// call and works off in their order. It goes on behind a request that fails.
//
// The netlink library sends each request by itself, waits for the answer in a
// new buffer of 64 KiB, and after a new link asks for it again
// (docs/decisions/0010-netlink-in-batches.md).
type Batch struct {
	requests []*Request
}

// Request is one request of a Batch, and what is done with its answer.
type Request struct {
	message message
	answer  func(data []byte) error
	failed  func(error) error
}

// Empty reports whether there is nothing to do.
func (b *Batch) Empty() bool { return len(b.requests) == 0 }

// add appends a request whose answer is only whether it failed.
func (b *Batch) add(m message) *Request {
	r := &Request{message: m}
	b.requests = append(b.requests, r)
	return r
}

// OnError has failed say what the error means: with another error, usually the
// same with the object's name around it, or nil where it is none.
func (r *Request) OnError(failed func(error) error) { r.failed = failed }

// Socket is a route netlink socket in one namespace, for batches and lists. It
// may be used concurrently; one batch or list goes after another.
type Socket struct {
	fd int

	mu       sync.Mutex
	sequence uint32
	buffer   []byte
}

const (
	// maxRequests is the most that goes to the kernel at once. All answers wait in
	// the socket's receive buffer, a link's with some 2.5 KiB, or up to 70 KiB
	// where a pod gave it as many other names as the kernel takes.
	maxRequests   = 128
	receiveBuffer = 16 << 20
	// bufferLen has room for nearly every answer, and maxAnswer for any.
	bufferLen = 16 << 10
	maxAnswer = 1 << 20
	// patience is how long an answer may take in seconds. They are there at once;
	// without a limit one that was lost would be waited for for ever.
	patience = 10
)

// NewSocket makes a socket in the namespace, which it keeps alive.
func NewSocket(ns *netns.Handle) (*Socket, error) {
	s := &Socket{buffer: make([]byte, bufferLen)}
	err := ns.Do(func() (err error) {
		s.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	err = errors.Join(
		unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}),
		// Errors come with the kernel's words, and without the request.
		unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1),
		unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		// Lists hold what their request's header says, and no more.
		unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netlink socket: %w", err), s.Close())
	}
	return s, nil
}

// Close closes the socket; no batch may be under way.
func (s *Socket) Close() error {
	if err := unix.Close(s.fd); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	return nil
}

// Do carries out a batch. The error is that of the first request that failed, as
// its OnError has it.
func (s *Socket) Do(b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	for rest := b.requests; len(rest) > 0; {
		part := rest[:min(len(rest), maxRequests)]
		rest = rest[len(part):]
		results, err := s.exchange(part)
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		for i, err := range results {
			if err != nil && part[i].failed != nil {
				err = part[i].failed(err)
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// exchange sends requests, of which the last alone is acknowledged also when it
// succeeds, and reads what comes back until that acknowledgement.
func (s *Socket) exchange(requests []*Request) ([]error, error) {
	base := s.sequence + 1
	s.sequence += uint32(len(requests))
	var data []byte
	for i, r := range requests {
		r.message.number(base + uint32(i))
		if i == len(requests)-1 {
			r.message.ask(unix.NLM_F_ACK)
		}
		data = append(data, r.message...)
	}
	if err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	results := make([]error, len(requests))
	for {
		data, err := s.receive()
		if err != nil {
			s.drain()
			return nil, err
		}
		last, err := take(data, base, requests, results)
		if err != nil || last {
			return results, err
		}
	}
}

// take sorts the messages of one answer to their requests, and reports whether
// the last request's acknowledgement was among them.
func take(data []byte, base uint32, requests []*Request, results []error) (last bool, err error) {
	for m, err := range messages(data) {
		if err != nil {
			return false, err
		}
		index := int(m.number - base)
		if index < 0 || index >= len(requests) {
			continue // of a batch that was given up
		}
		if m.kind == unix.NLMSG_ERROR {
			results[index] = errors.Join(results[index], verdict(m.body, m.flags))
			last = last || index == len(requests)-1
		} else if answer := requests[index].answer; answer != nil {
			results[index] = answer(m.body)
		}
	}
	return last, nil
}

// verdict reads an acknowledgement: an error number, the header of the request,
// and the kernel's words (NLMSGERR_ATTR_MSG) where it has any.
func verdict(body []byte, flags uint16) error {
	if len(body) < 4 {
		return errors.New("a short acknowledgement")
	}
	number := int32(binary.NativeEndian.Uint32(body))
	if number == 0 {
		return nil
	}
	err := error(unix.Errno(-number))
	const words = 4 + unix.NLMSG_HDRLEN
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(body) < words {
		return err
	}
	for kind, value := range attributes(body[words:]) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			return fmt.Errorf("%w (%s)", err, unix.ByteSliceToString(value))
		}
	}
	return err
}

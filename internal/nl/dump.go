// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxDumps bounds how often an interrupted dump is repeated. Under steady
// churn a dump succeeds within a few attempts.
const maxDumps = 20

// errInterrupted means that a dump is not consistent, because something came or
// went meanwhile (NLM_F_DUMP_INTR).
var errInterrupted = errors.New("interrupted by changes, again and again")

// dump lists what the kernel has of a kind, as far as read wants it. Each
// element is parsed in the socket's buffer, and the list begins anew where the
// kernel says that it is not consistent.
func dump[T any](s *Socket, request message, read func(data []byte) (T, bool)) ([]T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range maxDumps {
		var list []T
		err = s.dumpOnce(request, func(data []byte) {
			if element, wanted := read(data); wanted {
				list = append(list, element)
			}
		})
		if !errors.Is(err, errInterrupted) {
			return list, err
		}
	}
	return nil, err
}

func (s *Socket) dumpOnce(request message, each func(data []byte)) error {
	s.sequence++
	request.number(s.sequence)
	request.ask(unix.NLM_F_DUMP)
	if err := unix.Sendto(s.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	d := dumping{number: s.sequence, each: each}
	for !d.ended {
		data, err := s.receive()
		if err != nil {
			s.drain()
			return err
		}
		if err := d.read(data); err != nil {
			return err
		}
	}
	if d.interrupted {
		return errInterrupted
	}
	return nil
}

// dumping is a dump while it is read.
type dumping struct {
	number             uint32
	each               func(data []byte)
	ended, interrupted bool
}

func (d *dumping) read(data []byte) error {
	for m, err := range messages(data) {
		if err != nil {
			return err
		}
		if m.number != d.number {
			continue // of a dump that was given up
		}
		d.interrupted = d.interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		switch {
		case m.kind == unix.NLMSG_ERROR:
			return verdict(m.body, m.flags)
		case m.kind != unix.NLMSG_DONE:
			d.each(m.body)
			continue
		case len(m.body) >= 4: // an error may come as late as this
			err = verdict(m.body, 0)
		}
		d.ended = true
		return err
	}
	return nil
}

// receive reads what the kernel sent next into the socket's buffer, which it
// makes longer where need be.
func (s *Socket) receive() ([]byte, error) {
	for {
		n, _, err := s.recv(nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err != nil {
			return nil, err
		}
		if n > maxAnswer {
			return nil, fmt.Errorf("an answer of %d bytes, longer than any that is known", n)
		}
		if n > len(s.buffer) {
			s.buffer = make([]byte, n)
		}
		n, from, err := s.recv(s.buffer, 0)
		if err != nil {
			return nil, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 { // the kernel
			return s.buffer[:n], nil
		}
	}
}

func (s *Socket) recv(buffer []byte, flags int) (int, unix.Sockaddr, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, buffer, flags)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return 0, nil, errors.New("the kernel does not answer")
		case !errors.Is(err, unix.EINTR):
			return n, from, err
		}
	}
}

// drain throws away what is still in the receive buffer: as long as that is full
// the kernel drops further answers without a word.
func (s *Socket) drain() {
	for {
		if _, _, err := unix.Recvfrom(s.fd, nil, unix.MSG_DONTWAIT|unix.MSG_TRUNC); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// received is one message of what the kernel sent.
type received struct {
	kind, flags uint16
	number      uint32
	body        []byte
}

// messages goes through what the kernel sent; a message that is malformed ends it with an error.
func messages(data []byte) func(yield func(received, error) bool) {
	return func(yield func(received, error) bool) {
		for len(data) > 0 {
			if len(data) < unix.NLMSG_HDRLEN {
				yield(received{}, errors.New("a short message"))
				return
			}
			length := int(binary.NativeEndian.Uint32(data))
			if length < unix.NLMSG_HDRLEN || length > len(data) {
				yield(received{}, errors.New("a message with a wrong length"))
				return
			}
			m := received{
				kind: binary.NativeEndian.Uint16(data[4:]), flags: binary.NativeEndian.Uint16(data[6:]),
				number: binary.NativeEndian.Uint32(data[8:]), body: data[unix.NLMSG_HDRLEN:length],
			}
			data = data[min(align(length), len(data)):]
			if !yield(m, nil) {
				return
			}
		}
	}
}

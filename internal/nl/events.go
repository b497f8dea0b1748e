// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// OwnNamespace is the NSID of events from the namespace of the socket itself.
const OwnNamespace = -1

// Event is one netlink message that the kernel sent to all listeners.
type Event struct {
	// NSID is the id that the socket's namespace has for the namespace of the
	// event (NETLINK_LISTEN_ALL_NSID), or OwnNamespace.
	NSID int
	// Type is the message type (RTM_NEWLINK and so on).
	Type uint16
	// Data is the message behind its header; valid during the call only.
	Data []byte
}

// ErrLost means that the kernel had more events than the socket could hold
// (ENOBUFS): what happened since is unknown.
var ErrLost = errors.New("netlink events were lost")

// eventBuffer is the socket's receive buffer in bytes, enough for some 20,000
// messages.
const eventBuffer = 8 << 20

// longestEvent has room for a link with as many other names as the kernel takes.
const longestEvent = 128 << 10

// Events is a socket that receives what the kernel broadcasts.
type Events struct {
	file *os.File
}

// Subscribe opens a socket of a netlink protocol (unix.NETLINK_ROUTE,
// unix.NETLINK_NETFILTER) in the namespace and joins its groups. Events of
// every other namespace that has an id there come too.
func Subscribe(ns *netns.Handle, protocol int, groups ...int) (*Events, error) {
	var fd int
	err := ns.Do(func() error {
		var err error
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netlink event socket: %w", err)
	}
	e := &Events{file: os.NewFile(uintptr(fd), "netlink events")}
	if err := e.setUp(fd, groups); err != nil {
		return nil, errors.Join(fmt.Errorf("netlink event socket: %w", err), e.file.Close())
	}
	return e, nil
}

func (e *Events) setUp(fd int, groups []int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1); err != nil {
		return fmt.Errorf("listen to other namespaces: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("join group %d: %w", group, err)
		}
	}
	return nil
}

// Run hands every event to take until ctx ends (nil) or the socket fails. The
// error wraps ErrLost when events were lost; Run may then be called again.
func (e *Events) Run(ctx context.Context, take func(Event)) error {
	stop := context.AfterFunc(ctx, func() { _ = e.file.Close() })
	defer stop()
	conn, err := e.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("netlink events: %w", err)
	}
	data, control := make([]byte, longestEvent), make([]byte, 256)
	for {
		var n, oobn, flags int
		var recvErr error
		err := conn.Read(func(fd uintptr) bool {
			n, oobn, flags, _, recvErr = unix.Recvmsg(int(fd), data, control, 0)
			return !errors.Is(recvErr, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("netlink events: %w", err)
		case errors.Is(recvErr, unix.ENOBUFS), recvErr == nil && flags&unix.MSG_TRUNC != 0:
			return ErrLost
		case errors.Is(recvErr, unix.EINTR):
			continue
		case recvErr != nil:
			return fmt.Errorf("netlink events: %w", recvErr)
		}
		id := nsid(control[:oobn])
		for m, err := range messages(data[:n]) {
			if err != nil {
				return fmt.Errorf("netlink event: %w", err)
			}
			take(Event{NSID: id, Type: m.kind, Data: m.body})
		}
	}
}

// Close ends the subscription.
func (e *Events) Close() error {
	if err := e.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("netlink events: %w", err)
	}
	return nil
}

// nsid reads the control message that says where an event comes from.
func nsid(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return OwnNamespace
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return OwnNamespace
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif/internal/wire"
)

// channel is the control channel: messages in both directions, each with at
// most one file descriptor.
type channel struct {
	*net.UnixConn
}

// receive waits for the next message, until the read deadline. fd is -1 when
// none came along, otherwise the caller's to close.
func (c channel) receive() (m wire.Message, fd int, err error) {
	var b [wire.Size + 1]byte // one more shows what is too long
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := c.ReadMsgUnix(b[:], oob) // with MSG_CMSG_CLOEXEC
	if errors.Is(err, syscall.ECONNRESET) {
		// The peer closed the channel before it read everything. The kernel says so
		// once, and then gives what the peer had said before.
		n, oobn, flags, _, err = c.ReadMsgUnix(b[:], oob)
	}
	fds := rights(oob[:oobn])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrTimeout
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: %w", ErrPeerGone, err)
	case n == 0:
		err = ErrPeerGone
	// The kernel handed over as many descriptors as there was room for.
	case flags&unix.MSG_CTRUNC != 0 || len(fds) > 1:
		err = fmt.Errorf("%w: too many file descriptors", ErrMessage)
	default:
		m, err = decode(b[:n], len(fds))
	}
	if err != nil || len(fds) == 0 {
		for _, fd := range fds {
			closeFile(fd)
		}
		return m, -1, err
	}
	return m, fds[0], nil
}

// decode reads a message and checks that it has its file.
func decode(b []byte, fds int) (wire.Message, error) {
	m, err := wire.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	want := 0
	switch m.(type) {
	case wire.AddRegion, wire.AddRing:
		want = 1
	}
	if fds != want {
		return nil, fmt.Errorf("%w: %T with %d file descriptors, want %d", ErrMessage, m, fds, want)
	}
	return m, nil
}

// rights finds the descriptors that came along with a message.
func rights(oob []byte) []int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}

// closeFile closes a file that came with a message, if one did.
func closeFile(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// send writes a message; fd is -1 where none goes along.
func (c channel) send(m wire.Message, fd int) error {
	b := wire.Encode(m)
	var oob []byte
	if fd >= 0 {
		oob = unix.UnixRights(fd)
	}
	switch _, _, err := c.WriteMsgUnix(b[:], oob, nil); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return ErrPeerGone
	case err != nil:
		return fmt.Errorf("%w: send %T: %w", ErrResources, m, err)
	}
	return nil
}

// farewell tells the peer why the channel is being closed, if it listens.
func (c channel) farewell(err error) {
	reason := reasonOf(err)
	if reason == ErrPeerGone || reason == ErrDisconnected {
		return
	}
	text := err.Error()
	if reason == ErrProcess {
		text = reason.Error() // what the hook said is not for the peer
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	b := wire.Encode(wire.Disconnect{Code: uint32(reason), Reason: text})
	// At once or not at all: a peer that does not read is not waited for.
	_ = raw.Control(func(fd uintptr) { _ = unix.Sendto(int(fd), b[:], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) })
}

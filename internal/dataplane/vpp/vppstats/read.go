// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppstats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
)

// settle is how often it is looked whether VPP has changed its directory.
const settle = time.Millisecond

// read gets VPP's segment and calls f with it until f has seen it whole, and not
// while VPP changed it.
func (r *Reader) read(ctx context.Context, f func(segment) error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	s, err := r.segment(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(s) }()
	if err := s.check(); err != nil {
		return fmt.Errorf("VPP's statistics at %s: %w", r.socket, err)
	}
	tick := time.NewTicker(settle)
	defer tick.Stop()
	for {
		before, changing := s.epoch()
		if !changing {
			err := f(s)
			if after, changes := s.epoch(); after == before && !changes {
				if err != nil {
					return fmt.Errorf("VPP's statistics at %s: %w", r.socket, err)
				}
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: VPP at %s does not end a change of its statistics: %w", dataplane.ErrAway, r.socket, ctx.Err())
		}
	}
}

// segment asks VPP for its segment, and maps it. VPP may end meanwhile: the memory
// is there as long as somebody has it mapped.
func (r *Reader) segment(ctx context.Context) (segment, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixpacket", r.socket)
	if err != nil {
		return nil, fmt.Errorf("%w: VPP's statistics: %w", dataplane.ErrAway, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	file, err := receive(conn)
	if err != nil {
		return nil, fmt.Errorf("%w: VPP at %s hands out no statistics: %w", dataplane.ErrAway, r.socket, errors.Join(err, ctx.Err()))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("VPP's statistics: %w", err)
	}
	if info.Size() < headerLen || info.Size() != int64(int(info.Size())) {
		return nil, fmt.Errorf("VPP's statistics: %w: a segment of %d bytes", ErrUnknown, info.Size())
	}
	s, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map VPP's statistics: %w", err)
	}
	return s, nil
}

// receive receives the one file that VPP sends, in a message without a byte.
func receive(conn net.Conn) (*os.File, error) {
	socket, is := conn.(*net.UnixConn)
	if !is {
		return nil, fmt.Errorf("a connection of type %T", conn)
	}
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := socket.ReadMsgUnix(nil, control)
	if n == 0 { // with a file there is an io.EOF as well: there is no byte
		return nil, fmt.Errorf("no file: %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return nil, fmt.Errorf("control message: %w", err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // credentials, say
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "VPP's statistics"))
		}
	}
	if len(files) != 1 {
		for _, f := range files {
			_ = f.Close()
		}
		return nil, fmt.Errorf("%d files", len(files))
	}
	return files[0], nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/unixsock"
)

// Netns opens the network namespace of the VPP that serves an API socket. One that
// runs in the caller's own is refused: a lab makes nothing there.
func Netns(ctx context.Context, socket string) (*netns.Handle, error) {
	conn, err := unixsock.Dial(ctx, socket)
	if err != nil {
		return nil, fmt.Errorf("VPP at %s: %w", socket, err)
	}
	defer conn.Close()
	pid, err := peer(conn)
	if err != nil {
		return nil, fmt.Errorf("VPP at %s: who serves it: %w", socket, err)
	}
	ns, err := netns.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("VPP at %s (process %d): %w", socket, pid, err)
	}
	own, err := netns.Own()
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	defer own.Close()
	if own.Inode() == ns.Inode() {
		return nil, errors.Join(fmt.Errorf("VPP at %s (process %d) runs in the machine's own network namespace, where a lab makes nothing; "+
			"run it in one of its own: ip netns add NAME; ip netns exec NAME vpp -c FILE", socket, pid), ns.Close())
	}
	return ns, nil
}

// peer is the process that listens at the other end (unix(7), SO_PEERCRED).
func peer(conn net.Conn) (int, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("it is no unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		credentials, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return int(credentials.Pid), nil
}

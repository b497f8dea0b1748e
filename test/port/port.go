// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package port has ports of loopback for servers that tests stop and start again.
package port

import (
	"fmt"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Keep gives an address, HOST:PORT, that is the test's until it ends: while no server
// listens there, the kernel gives the port to nobody who asks for any. A socket has it
// that is bound and does not listen. With SO_REUSEADDR, which package net sets, who asks
// for the port by its number gets it all the same (socket(7)).
func Keep(t testing.TB) string {
	t.Helper()
	address, err := keep(t)
	if err != nil {
		t.Fatalf("keep a port: %v", err)
	}
	return address
}

func keep(t testing.TB) (string, error) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	loopback := [4]byte{127, 0, 0, 1}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	return net.JoinHostPort(net.IP(loopback[:]).String(), fmt.Sprint(name.(*unix.SockaddrInet4).Port)), nil
}

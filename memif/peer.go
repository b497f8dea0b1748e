// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Process is the process at the other end of a control channel, as the kernel
// says it was when it connected (SO_PEERCRED). Its PID may since have become
// another's.
type Process struct {
	PID, UID, GID int
}

// Candidate is a process that asks to be served.
type Candidate struct {
	Process
	// PIDFD is a pidfd of the process, -1 where the kernel has none (SO_PEERPIDFD,
	// Linux 6.5). With it a check by PID is free of races: look at /proc/PID, then
	// see by PIDFD that the process is still alive. It is closed after the check.
	PIDFD int
}

// Peer is the other side of a connection. Its texts are the peer's own words;
// what is not printable in them is replaced.
type Peer struct {
	Process
	Application string // name and version, such as "DPDK 22.11.11"
	Interface   string // the peer's name of the interface
}

// processOf asks the kernel who is at the other end.
func processOf(control *net.UnixConn) (Process, error) {
	var p Process
	err := controlFD(control, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return err
		}
		p = Process{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
		return nil
	})
	if err != nil {
		return Process{}, fmt.Errorf("%w: peer's credentials: %w", ErrResources, err)
	}
	return p, nil
}

// check asks the hook, if there is one, whether to serve the process.
func (p Process) check(control *net.UnixConn, hook func(Candidate) error) error {
	if hook == nil {
		return nil
	}
	c := Candidate{Process: p, PIDFD: -1}
	err := controlFD(control, func(fd int) error {
		if pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			c.PIDFD = pidfd
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: peer's process: %w", ErrResources, err)
	}
	err = hook(c)
	if c.PIDFD >= 0 {
		unix.Close(c.PIDFD)
	}
	if reason := Reason(0); err == nil || errors.As(err, &reason) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrProcess, err)
}

// controlFD runs f with the descriptor of the control channel.
func controlFD(control *net.UnixConn, f func(fd int) error) error {
	raw, err := control.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Ignore keeps messages of these types (RTM_NEWROUTE and so on) from the socket,
// in place of those of an earlier call. The kernel then wakes nobody for them
// (SO_ATTACH_FILTER): every wake-up delays the change that the event is of. At
// most 255 types.
func (e *Events) Ignore(types ...uint16) error {
	const typeOffset = 4 // of nlmsg_type in struct nlmsghdr
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: typeOffset}}
	for i, t := range types {
		program = append(program, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: asLoaded(t), Jt: uint8(len(types) - i),
		})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32}, // keep all of it
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	conn, err := e.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("netlink event filter: %w", err)
	}
	var setErr error
	if err := conn.Control(func(fd uintptr) {
		setErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	}); err != nil {
		return fmt.Errorf("netlink event filter: %w", err)
	}
	if setErr != nil {
		return fmt.Errorf("netlink event filter: %w", setErr)
	}
	return nil
}

// asLoaded is what a filter loads for a number of this machine's byte order,
// which it takes for one of the network's.
func asLoaded(n uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n)))
}

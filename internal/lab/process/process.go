// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package process identifies, watches and ends processes that outlive the one
// that started them. A process id alone may come to mean another process; an
// ID here cannot, so that nothing is ever signalled that was not recorded.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone means that the process has ended.
var ErrGone = errors.New("the process has ended")

// ID identifies one process for good. The zero value identifies none.
type ID struct {
	PID int `json:"pid"`
	// Start is the time the process started, in clock ticks since boot
	// (proc_pid_stat(5), field 22).
	Start uint64 `json:"start"`
	// Boot is the boot that Start counts from
	// (/proc/sys/kernel/random/boot_id).
	Boot string `json:"boot"`
}

// Of identifies the process that has the number now; the error wraps ErrGone
// where none runs.
func Of(pid int) (ID, error) {
	fd, id, err := open(pid)
	if err != nil {
		return ID{}, err
	}
	unix.Close(fd)
	return id, nil
}

// Self identifies the calling process.
func Self() (ID, error) { return Of(os.Getpid()) }

// open gives a pidfd of the process that has the number, and identifies it. The
// pidfd is there first, so that both are of one process.
//
// Whether a process has ended is asked of the pidfd alone: its first thread may
// be a zombie long before the last one is gone.
func open(pid int) (int, ID, error) {
	if pid <= 0 {
		return -1, ID{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return -1, ID{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	if err != nil {
		return -1, ID{}, fmt.Errorf("open process %d: %w", pid, err)
	}
	id, err := identify(pid)
	if err == nil && hasEnded(fd) {
		err = ErrGone
	}
	if err != nil {
		unix.Close(fd)
		return -1, ID{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return fd, id, nil
}

func identify(pid int) (ID, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return ID{}, ErrGone
	}
	if err != nil {
		return ID{}, err
	}
	start, err := parseStart(string(stat))
	if err != nil {
		return ID{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ID{}, err
	}
	return ID{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// parseStart reads field 22 of a line. The second field is the name in
// parentheses and may itself hold spaces and parentheses.
func parseStart(stat string) (uint64, error) {
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	if end < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("stat %q is not understood", stat)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stat: start time: %w", err)
	}
	return start, nil
}

// hasEnded reports whether the process has; its pidfd is readable then
// (pidfd_open(2)).
func hasEnded(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1
		}
	}
}

// Alive reports whether the process runs.
func (id ID) Alive() bool {
	now, err := Of(id.PID)
	return err == nil && now == id
}

// Signal sends a signal; the error wraps ErrGone once the process has ended.
func (id ID) Signal(signal syscall.Signal) error {
	fd, err := id.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, signal, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	return nil
}

// Wait returns nil once the process has ended, whoever its parent is, and the
// context's error where that ends first.
func (id ID) Wait(ctx context.Context) error {
	fd, err := id.open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	// Being non-blocking, it can be left to the runtime's poller.
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", id.PID, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool { return hasEnded(int(fd)) })
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", id.PID, err)
	}
	return nil
}

// open gives a pidfd of this very process.
func (id ID) open() (int, error) {
	fd, now, err := open(id.PID)
	if err == nil && now != id {
		unix.Close(fd)
		err = fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	return fd, err
}

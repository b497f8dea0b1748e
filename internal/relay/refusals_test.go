// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif"
)

// A process that ends while it connects is no stranger: it is gone.
func TestWhoEndsIsGone(t *testing.T) {
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &own); err != nil {
		t.Fatal(err)
	}
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(ended.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	for err := error(unix.EINTR); errors.Is(err, unix.EINTR); { // until it is a zombie
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000)
	}
	for range 2 {
		for _, fd := range []int{pidfd, -1} {
			err := inNetns(own.Ino)(memif.Candidate{Process: memif.Process{PID: ended.Process.Pid}, PIDFD: fd})
			if !errors.Is(err, memif.ErrPeerGone) {
				t.Errorf("%v, want it gone", err)
			}
		}
		_ = ended.Wait()
	}
	alive := memif.Candidate{Process: memif.Process{PID: os.Getpid()}, PIDFD: -1}
	if err := inNetns(own.Ino)(alive); err != nil {
		t.Error(err)
	}
	if err := inNetns(own.Ino + 1)(alive); err == nil || errors.Is(err, memif.ErrPeerGone) {
		t.Errorf("of another namespace: %v", err)
	}
}

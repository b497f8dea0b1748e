// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Freeze stops the process and its children (SIGSTOP) where they are, and
// returns when they stand.
func (p *Process) Freeze() {
	p.t.Helper()
	if err := unix.Kill(-p.PID(), unix.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	p.WaitFrozen()
}

// WaitFrozen waits until the process stands, by Freeze or at a failpoint, with
// its child if it has one: on a busy machine some threads run on for a while.
func (p *Process) WaitFrozen() {
	p.t.Helper()
	Eventually(p.t, time.Minute, func() error {
		err := frozen(p.PID())
		if worker, none := child(p.PID()); none == nil {
			err = errors.Join(err, frozen(worker))
		}
		return err
	})
}

func frozen(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		stat, readErr := os.ReadFile(path)
		// The state follows the name, which is in parentheses.
		if _, state, _ := bytes.Cut(stat, []byte(") ")); readErr == nil && !bytes.HasPrefix(state, []byte("T")) {
			err = fmt.Errorf("%s: not stopped", path)
		}
	}
	return err
}

// Thaw lets the process and its children go on.
func (p *Process) Thaw() {
	p.t.Helper()
	if err := unix.Kill(-p.PID(), unix.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
}

// WaitRequests waits until so many requests have reached the agent's socket and
// are not answered yet; a frozen agent has not seen all of them.
func (n *Node) WaitRequests(count int) {
	n.TB.Helper()
	Eventually(n.TB, time.Minute, func() error {
		sockets, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			return err
		}
		// One is the listening socket itself.
		there := strings.Count(string(sockets), " "+n.Config.CNISocket()+"\n") - 1
		if there < count {
			return fmt.Errorf("%d requests are there", there)
		}
		return nil
	})
}

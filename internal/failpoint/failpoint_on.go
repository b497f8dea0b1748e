// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

//go:build failpoints

// Package failpoint, built with the tag failpoints, obeys the environment:
// POLYNIC_FAILPOINTS names a folder. Every place that is passed leaves a file
// of its name there. Where a file NAME.kill exists, the process kills itself
// with SIGKILL at the passing whose number the file holds, and removes it;
// NAME.stop stops it instead, until somebody sends it a SIGCONT.
package failpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hit marks a place that the process may be killed or stopped at.
func Hit(name string) {
	dir := os.Getenv("POLYNIC_FAILPOINTS")
	if dir == "" {
		return
	}
	path := filepath.Join(dir, strings.NewReplacer("/", "_", " ", "-", "'", "").Replace(name))
	if _, err := os.Stat(path); err != nil {
		_ = os.WriteFile(path, nil, 0o600)
	}
	if due(path + ".kill") {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // the signal takes effect before this returns
	}
	if due(path + ".stop") {
		// To this very thread: it goes no further.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
	}
}

// due counts the passing, and removes the file when its number is reached. Of
// several that pass at once, one removes it.
func due(order string) bool {
	left, err := os.ReadFile(order)
	if err != nil {
		return false
	}
	if n, _ := strconv.Atoi(strings.TrimSpace(string(left))); n > 1 {
		_ = os.WriteFile(order, fmt.Appendf(nil, "%d", n-1), 0o600)
		return false
	}
	return os.Remove(order) == nil
}

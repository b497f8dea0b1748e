// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

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
)

// Stop ends the process: SIGTERM, and SIGKILL once grace is over or ctx ends.
// It returns when the process has ended; one that has ended already is no
// error. After a SIGKILL it waits whatever ctx says, since that cannot fail.
func (id ID) Stop(ctx context.Context, grace time.Duration) error {
	err := id.Signal(syscall.SIGTERM)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if !id.ignoresTerm() {
		patience, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if err := id.Wait(patience); err == nil {
			return nil
		}
	}
	if err := id.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	return id.Wait(context.WithoutCancel(ctx))
}

// ignoresTerm reports whether waiting after SIGTERM is in vain: the first
// process of a pid namespace gets only signals that it has a handler for
// (pid_namespaces(7)).
func (id ID) ignoresTerm() bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id.PID))
	if err != nil {
		return false
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	pids := strings.Fields(fields["NSpid"])
	first := len(pids) > 1 && pids[len(pids)-1] == "1"
	caught, err := strconv.ParseUint(fields["SigCgt"], 16, 64)
	return first && err == nil && caught&(1<<(syscall.SIGTERM-1)) == 0
}

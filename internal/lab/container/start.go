// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/netns"
)

// maxReport bounds what Init tells of its failure, in bytes.
const maxReport = 4096

// Runner starts containers.
type Runner struct {
	// InitCommand is a program and its first arguments; with the path of a
	// spec added, it must call Init.
	InitCommand []string
}

// Running is a container's process as its parent has it.
type Running struct {
	ID      process.ID
	command *exec.Cmd
}

// Start starts a container in a pod's network namespace. record is called with
// the process before it does anything. When Start returns without an error,
// the command itself runs, and the caller must call Wait.
func (r Runner) Start(ctx context.Context, spec Spec, ns *netns.Handle, record func(process.ID) error) (*Running, error) {
	running, err := r.start(ctx, spec, ns, record)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	return running, nil
}

func (r Runner) start(ctx context.Context, spec Spec, ns *netns.Handle, record func(process.ID) error) (*Running, error) {
	if err := os.MkdirAll(spec.scratch(), 0o700); err != nil {
		return nil, err
	}
	if err := state.Write(spec.File(), spec); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(spec.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	report, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer report.Close()
	// The container outlives ctx, and even the process that starts it.
	command := exec.Command(r.InitCommand[0], append(r.InitCommand[1:], spec.File())...) //nolint:noctx // see above
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{tell}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	running := &Running{command: command}
	err = ns.Do(func() error {
		return process.StartGated(command, func(id process.ID) error {
			running.ID = id
			return record(id)
		})
	})
	tell.Close()
	if err != nil {
		return nil, err
	}
	if err := running.started(ctx, report); err != nil {
		return nil, err
	}
	return running, nil
}

// started waits until Init is done: it has either said what went wrong, or
// become the command, which closes its end of the report.
func (r *Running) started(ctx context.Context, report *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = report.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(report, maxReport))
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
	case len(text) > 0:
		err = errors.New(string(text))
	default:
		return nil
	}
	_ = r.ID.Signal(syscall.SIGKILL) // it may have ended already
	r.Wait()
	return err
}

// Wait waits until the container's command has ended, and gives its exit code:
// 128 and the signal's number where a signal ended it.
func (r *Running) Wait() int {
	_ = r.command.Wait() // the error is the exit code
	return exitCode(r.command.ProcessState)
}

func exitCode(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/netns"
)

// The exit codes of a command that could not be started, as shells have them.
const (
	codeNotRunnable = 126
	codeNotFound    = 127
)

// ErrNotFound means that the command does not exist where it was to run.
var ErrNotFound = exec.ErrNotFound

// Place is where a command is run by Exec.
type Place struct {
	// Process is in the namespaces.
	Process process.ID
	// Namespaces to enter, by their names below /proc/PID/ns; mnt must be the
	// last, since there is no /proc of ours behind it.
	Namespaces []string
	// Netns is the path of another network namespace than the process'; empty
	// for none.
	Netns string
	// Env, Dir and User are the command's.
	Env  []string
	Dir  string
	User User
}

// Beside is the place where a container's own command runs.
func Beside(id process.ID, spec Spec) Place {
	return Place{
		Process: id, Namespaces: []string{"ipc", "uts", "net", "pid", "mnt"},
		Env: spec.Env, Dir: spec.WorkingDir, User: spec.User,
	}
}

// Exec runs a command in the place with the given files as its standard ones,
// passes signals on to it, and gives its exit code: 128 and the signal's
// number where a signal ended it, 127 where there is no such command. The
// command is killed when ctx ends.
func Exec(ctx context.Context, place Place, argv []string, stdio [3]*os.File) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
	defer signal.Stop(signals)
	started := make(chan *os.Process, 1)
	ended := make(chan result, 1)
	go func() {
		var r result
		_ = netns.OnSpareThread(func() error { // r has its error
			r = place.run(ctx, argv, stdio, started)
			return nil
		})
		ended <- r
	}()
	var command *os.Process
	var pass <-chan os.Signal // signals wait until there is somebody to have them
	for {
		select {
		case command = <-started:
			pass = signals
		case s := <-pass:
			if !fromTerminal(s, stdio[0]) {
				_ = command.Signal(s) // it may have ended just now
			}
		case r := <-ended:
			return r.code, r.err
		}
	}
}

// result is how a command ended, or that it could not be started.
type result struct {
	code int
	err  error
}

func notStarted(err error) result {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, unix.ENOENT) {
		return result{codeNotFound, err}
	}
	return result{codeNotRunnable, err}
}

// fromTerminal reports whether the terminal has sent the signal to the command
// too.
func fromTerminal(s os.Signal, stdin *os.File) bool {
	return (s == unix.SIGINT || s == unix.SIGQUIT) && IsTerminal(stdin)
}

// IsTerminal reports whether the file is a terminal.
func IsTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// run starts the command and waits for it. The thread is to be thrown away: nothing
// else may ever run in the namespaces that it enters.
func (p Place) run(ctx context.Context, argv []string, stdio [3]*os.File, started chan<- *os.Process) result {
	if err := p.enter(); err != nil {
		return result{codeNotRunnable, err}
	}
	program, err := lookPath(argv[0], p.Env)
	if err != nil {
		return notStarted(err)
	}
	command := exec.CommandContext(ctx, program)
	command.Args = argv
	command.Env = p.Env
	command.Stdin, command.Stdout, command.Stderr = stdio[0], stdio[1], stdio[2]
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: p.User.UID, Gid: p.User.GID, Groups: p.User.Groups},
	}
	if !slices.Contains(p.Namespaces, "pid") {
		// In a container the command ends with it at the latest. Elsewhere it
		// must not outlive the caller, and keep a namespace that is to go.
		command.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	if err := command.Start(); err != nil {
		return notStarted(fmt.Errorf("start %s: %w", argv[0], err))
	}
	started <- command.Process
	_ = command.Wait() // how it ended is in its state
	return result{exitCode(command.ProcessState), nil}
}

// Start starts a command in the place, and leaves it to itself. Its Env, Dir
// and User are the caller's business.
func (p Place) Start(command *exec.Cmd) error {
	return netns.OnSpareThread(func() error { // as in Exec
		if err := p.enter(); err != nil {
			return err
		}
		return command.Start()
	})
}

// enter takes the calling thread into the place.
func (p Place) enter() error {
	namespaces, err := p.open()
	for _, fd := range namespaces {
		defer unix.Close(fd)
	}
	if err != nil {
		return err
	}
	// A thread may change its mount namespace only once it shares neither
	// root nor working folder with others (setns(2)).
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	for _, fd := range namespaces {
		if err := unix.Setns(fd, 0); err != nil {
			return fmt.Errorf("enter namespace: %w", err)
		}
	}
	if err := unix.Chdir(p.Dir); err != nil {
		return fmt.Errorf("working folder %s: %w", p.Dir, err)
	}
	return nil
}

// open opens every namespace before any is entered. Afterwards the process
// must still be the one that is meant.
func (p Place) open() ([]int, error) {
	var fds []int
	var paths []string
	if p.Netns != "" {
		paths = append(paths, p.Netns)
	}
	for _, name := range p.Namespaces {
		paths = append(paths, fmt.Sprintf("/proc/%d/ns/%s", p.Process.PID, name))
	}
	for _, path := range paths {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fds, fmt.Errorf("namespace %s: %w", path, err)
		}
		fds = append(fds, fd)
	}
	if !p.Process.Alive() {
		return fds, fmt.Errorf("process %d: %w", p.Process.PID, process.ErrGone)
	}
	return fds, nil
}

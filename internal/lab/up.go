// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/lab/vpp"
)

// The descriptors that Up hands to the daemon.
const (
	LockFD   = 3 // the lock of the state folder
	EventsFD = 4 // takes the events of the start
)

// daemonGrace is how long a daemon may take to end.
const daemonGrace = 15 * time.Second

// UpOptions are what Up needs.
type UpOptions struct {
	StateDir string
	// Program is the path of the running program, and DaemonArgs its arguments
	// that, with the state folder added, run the daemon. The node's programs
	// are beside it.
	Program    string
	DaemonArgs []string
	// Change changes the settings of a new lab from their defaults. Those of a
	// lab that exists must be the same with the change as without.
	Change func(*Settings)
	Tell   func(Event)
}

// Up starts a lab, or the daemon of one that lost it, and returns once pods
// can be applied. A start that fails, or is given up by ctx, leaves nothing of
// a new lab.
func Up(ctx context.Context, o UpOptions) error {
	if err := checkMachine(); err != nil {
		return err
	}
	if err := checkPrograms(o.Program); err != nil {
		return err
	}
	dir, lock, err := state.Claim(o.StateDir)
	if errors.Is(err, state.ErrBusy) {
		return running(o.StateDir, err)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	isNew, err := settle(dir, o)
	if err == nil {
		err = startDaemon(ctx, dir, lock, o)
	}
	if err != nil && isNew {
		// The context may be over; cleaning up is still to be done.
		err = errors.Join(err, clean(context.WithoutCancel(ctx), dir))
	}
	return err
}

// running says who holds the state folder.
func running(stateDir string, busy error) error {
	dir, err := state.Open(stateDir)
	if err != nil {
		return err
	}
	daemon := readRecord(dir, DaemonRecord)
	if !daemon.Alive() {
		return busy
	}
	return fmt.Errorf("%w at %s (pid %d); take it down with `polynic lab down --state %s`, or give another --state",
		ErrRunning, stateDir, daemon.PID, stateDir)
}

// settle saves the settings of a new lab, and sees that those of an old one
// stay.
func settle(dir state.Dir, o UpOptions) (isNew bool, err error) {
	settings := DefaultSettings()
	err = state.Read(dir.Settings(), &settings)
	isNew = errors.Is(err, os.ErrNotExist)
	if err != nil && !isNew {
		return false, fmt.Errorf("settings of the lab: %w", err)
	}
	wanted := settings
	o.Change(&wanted)
	if _, err := wanted.Config(dir); err != nil {
		return isNew, err
	}
	if wanted.servesEtcd() {
		if err := checkProgram(o.Program, EtcdProgram); err != nil {
			return isNew, fmt.Errorf("%w (or give --no-etcd)", err)
		}
	}
	if isNew && wanted.runsVPP() {
		if wanted.VPP, err = vpp.Find(); err != nil {
			return true, err
		}
	}
	if isNew {
		return true, state.Write(dir.Settings(), wanted)
	}
	if !settings.equal(wanted) {
		return false, fmt.Errorf("the lab at %s has other settings; take it down first with `polynic lab down --state %s`", dir, dir)
	}
	return false, nil
}

func startDaemon(ctx context.Context, dir state.Dir, lock *os.File, o UpOptions) error {
	events, tell, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	defer events.Close()
	log, err := os.OpenFile(dir.DaemonLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	defer log.Close()
	command := exec.Command(o.Program, append(slices.Clone(o.DaemonArgs), string(dir))...) //nolint:noctx // it outlives us
	command.Dir = "/"
	command.ExtraFiles = []*os.File{lock, tell}
	command.Stdout, command.Stderr = log, log
	err = startInMounts(dir, command)
	tell.Close()
	if err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var reason string
	err = readEvents(ctx, events, func(e Event) {
		if e.Kind == Failed {
			reason = e.Text
			return
		}
		o.Tell(e)
	})
	if err == nil {
		return command.Process.Release()
	}
	_ = command.Process.Signal(syscall.SIGTERM) // it may have ended already
	_ = command.Wait()
	if reason != "" {
		return errors.New(reason)
	}
	return err
}

// startInMounts starts the daemon in a mount namespace of its own, or, where
// anything of the lab lives, in the one that the lab has: the paths of pinned
// namespaces mean something in that one alone.
func startInMounts(dir state.Dir, daemon *exec.Cmd) error {
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, name := range []string{HolderRecord, AgentRecord, RelayRecord, VPPRecord, EtcdRecord} {
		if p := readRecord(dir, name); p.Alive() {
			return container.Place{Process: p, Namespaces: []string{"mnt"}, Dir: "/"}.Start(daemon)
		}
	}
	daemon.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // private, too (package syscall)
	return daemon.Start()
}

// readRecord is the process of a record; none where there is no record.
func readRecord(dir state.Dir, name string) process.ID {
	var id process.ID
	if err := state.Read(dir.Process(name), &id); err != nil {
		return process.ID{}
	}
	return id
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/netns"
)

// Program is one of the long-running programs of a node. It outlives the lab's
// daemon.
type Program struct {
	Name string
	// Argv is the command line of something that waits at the gate (package
	// process) and then is, or becomes, the program.
	Argv []string
	// Netns is the path of the network namespace to run in.
	Netns string
	// Log is the file that the program writes to, Record the one that says
	// which process it is.
	Log, Record string
	// LongestPause bounds how long is waited before it is started again, where it
	// dies often; 0 is five seconds.
	LongestPause time.Duration
}

// Record is which process a program is now.
type Record struct {
	process.ID
	// Restarts counts how often it had to be started again.
	Restarts int `json:"restarts"`
}

const (
	firstPause = 50 * time.Millisecond
	longPause  = 5 * time.Second
	// A program that ran this long was well; the next start is quick again.
	wellAfter = 10 * time.Second
	stopGrace = 5 * time.Second
)

// Kept is a program that is started again whenever it dies.
type Kept struct {
	program Program
	log     *slog.Logger
	cancel  context.CancelFunc
	done    chan struct{}
	deaths  chan error

	// Of the keeping goroutine until done is closed.
	record Record
	child  *exec.Cmd // nil where another daemon started the process
}

// Keep takes over the program that runs already, or starts it, and keeps it
// running until Stop, or until ctx ends, which leaves it running.
func Keep(ctx context.Context, p Program, log *slog.Logger) (*Kept, error) {
	ctx, cancel := context.WithCancel(ctx)
	k := &Kept{
		program: p, log: log.With(slog.String("program", p.Name)),
		cancel: cancel, done: make(chan struct{}), deaths: make(chan error, 1),
	}
	err := state.Read(p.Record, &k.record)
	switch {
	case err == nil && k.record.Alive():
		k.log.InfoContext(ctx, "adopted", slog.Int("pid", k.record.PID))
		err = nil
	case err == nil, errors.Is(err, os.ErrNotExist):
		err = k.start(ctx)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	go func() {
		defer close(k.done)
		k.keep(ctx)
	}()
	return k, nil
}

// Deaths tells, while somebody listens, why the program died.
func (k *Kept) Deaths() <-chan error { return k.deaths }

// Wait waits until the context given to Keep has ended, and the program is not
// kept any more.
func (k *Kept) Wait() { <-k.done }

// Stop ends the program, returns once it has ended, and removes its record.
func (k *Kept) Stop(ctx context.Context) error {
	k.cancel()
	<-k.done
	if err := k.record.Stop(ctx, stopGrace); err != nil {
		return fmt.Errorf("%s: %w", k.program.Name, err)
	}
	k.reap()
	if err := os.Remove(k.program.Record); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", k.program.Name, err)
	}
	return nil
}

func (k *Kept) keep(ctx context.Context) {
	pause := firstPause
	for {
		began := time.Now()
		if err := k.record.Wait(ctx); err != nil {
			return
		}
		cause := k.cause(k.reap())
		k.log.WarnContext(ctx, "died; it is started again", slog.Any("cause", cause))
		select {
		case k.deaths <- cause:
		default:
		}
		if time.Since(began) > wellAfter {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, cmp.Or(k.program.LongestPause, longPause))
		k.record.Restarts++
		if err := k.start(ctx); err != nil {
			k.log.ErrorContext(ctx, "not started", slog.Any("error", err))
		}
	}
}

func (k *Kept) start(ctx context.Context) error {
	ns, err := netns.Open(k.program.Netns)
	if err != nil {
		return err
	}
	defer ns.Close()
	log, err := os.OpenFile(k.program.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(k.program.Argv[0], k.program.Argv[1:]...) //nolint:noctx // it outlives us
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = ns.Do(func() error {
		return process.StartGated(command, func(id process.ID) error {
			k.record.ID = id
			return state.Write(k.program.Record, k.record)
		})
	})
	if err != nil {
		return err
	}
	k.child = command
	k.log.InfoContext(ctx, "started", slog.Int("pid", k.record.PID))
	return nil
}

// reap takes leave of a process of ours, and says how it ended.
func (k *Kept) reap() string {
	if k.child == nil {
		return "it ended"
	}
	_ = k.child.Wait() // how it ended is in its state
	how := k.child.ProcessState.String()
	k.child = nil
	return how
}

// cause is how the program ended and what it said last.
func (k *Kept) cause(how string) error {
	if last := state.LastLine(k.program.Log); last != "" {
		how += "; it said last: " + last
	}
	return fmt.Errorf("%s: %s", k.program.Name, how)
}

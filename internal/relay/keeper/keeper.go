// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package keeper is the relay's parent process: it starts the worker, and
// starts it again at once whenever it dies. It holds nothing that could break,
// so that no back-off of whoever started it ever keeps the relay away.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// RefusedCode is the worker's exit code for "it cannot work here, and another
// attempt would not either".
const RefusedCode = 3

// ErrRefused means that the worker ended with RefusedCode; it has said why.
var ErrRefused = errors.New("the worker cannot run here")

const (
	// A life shorter than shortLife counts as a death at start; after
	// maxShortLives of them in a row there is a pause before each new start.
	shortLife     = time.Second
	maxShortLives = 5
	pause         = 200 * time.Millisecond
)

// livesVariable tells a worker of those before it: how many there were, and when
// the last died, in seconds since 1970.
const livesVariable = "POLYNIC_RELAY_LIVES"

// Lives is how often a worker was started again, and when that was last; zero for
// the first worker.
type Lives struct {
	Restarts int
	Last     time.Time
}

// ReadLives gives what the keeper of this process told it.
func ReadLives() Lives {
	var l Lives
	var at int64
	if _, err := fmt.Sscanf(os.Getenv(livesVariable), "%d,%d", &l.Restarts, &at); err != nil || l.Restarts <= 0 {
		return Lives{}
	}
	l.Last = time.Unix(at, 0)
	return l
}

// next counts a death.
func (l Lives) next() Lives { return Lives{Restarts: l.Restarts + 1, Last: time.Now()} }

func (l Lives) variable() string {
	return fmt.Sprintf("%s=%d,%d", livesVariable, l.Restarts, l.Last.Unix())
}

// Run keeps a worker running, the program itself with the given arguments,
// until ctx ends; the worker is then asked to stop (SIGTERM) and waited for. A
// worker whose keeper dies is killed by the kernel.
func Run(ctx context.Context, args []string, log *slog.Logger) error {
	// PR_SET_PDEATHSIG is about the thread that started the child, not about
	// its process: this one stays as long as there is a worker.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	short := 0
	for lives := (Lives{}); ctx.Err() == nil; lives = lives.next() {
		begin := time.Now()
		err := life(ctx, args, lives)
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == RefusedCode {
			return ErrRefused
		}
		if short++; time.Since(begin) >= shortLife {
			short = 0
		}
		if ctx.Err() == nil {
			log.WarnContext(ctx, "the worker died; starting it again", slog.Any("cause", err))
		}
		if short >= maxShortLives {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	return nil
}

// life runs one worker to its end; the error says how it ended.
func life(ctx context.Context, args []string, before Lives) error {
	// Not by path: this is the same program even when its file was replaced.
	worker := exec.CommandContext(ctx, "/proc/self/exe", args...)
	worker.Args[0] = os.Args[0]
	worker.Env = append(os.Environ(), before.variable())
	worker.Cancel = func() error { return worker.Process.Signal(syscall.SIGTERM) }
	worker.Stdout, worker.Stderr = os.Stdout, os.Stderr
	worker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := worker.Run(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package keeper_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/keeper"
	"github.com/polynic/polynic/test/busy"
)

// modeVariable turns the test program into a keeper or a worker.
const modeVariable = "POLYNIC_KEEPER_TEST"

func TestMain(m *testing.M) {
	mode, isChild := os.LookupEnv(modeVariable)
	if !isChild {
		goleak.VerifyTestMain(m)
		return
	}
	switch mode {
	case "keep": // run as keeper, with a worker that works
		_ = os.Setenv(modeVariable, "work")
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if err := keeper.Run(context.Background(), os.Args[1:], log); err != nil {
			os.Exit(1)
		}
	case "work": // tell the file that there is a new worker, and wait to be asked to stop
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		lives := keeper.ReadLives()
		_ = tell(os.Args[1], fmt.Sprint("after ", lives.Restarts), lives.Last.UTC().Format(time.DateOnly))
		<-stop
		_ = tell(os.Args[1], "stopped")
	case "die":
		_ = tell(os.Args[1])
		os.Exit(2)
	case "refuse":
		_ = tell(os.Args[1])
		os.Exit(keeper.RefusedCode)
	}
}

// tell writes a line to the pipe at path: the own process id and the words.
func tell(path string, words ...string) error {
	pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(pipe, os.Getpid(), strings.Join(words, " "))
	return errors.Join(err, pipe.Close())
}

// workers is what workers tell the test.
type workers struct {
	path  string
	lines *bufio.Scanner
}

func newWorkers(t *testing.T) *workers {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // both ways, so that it has no end
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() })
	if err := pipe.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &workers{path: path, lines: bufio.NewScanner(pipe)}
}

func (w *workers) next(t *testing.T) (pid int, words string) {
	t.Helper()
	if !w.lines.Scan() {
		t.Fatalf("no word from a worker: %v", w.lines.Err())
	}
	number, words, _ := strings.Cut(w.lines.Text(), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return pid, words
}

// keep runs a keeper in this process until the returned function is called.
func keep(t *testing.T, mode string, w *workers) (stop func() error) {
	t.Helper()
	t.Setenv(modeVariable, mode)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- keeper.Run(ctx, []string{w.path}, slog.New(slog.DiscardHandler)) }()
	return func() error {
		cancel()
		return <-result
	}
}

func TestWorkerIsStartedAgainAtOnce(t *testing.T) {
	w := newWorkers(t)
	stop := keep(t, "work", w)
	pid, first := w.next(t)
	if want := "after 0 0001-01-01"; first != want {
		t.Errorf("the first worker is told %q, want %q", first, want)
	}
	for n := range 3 {
		begin := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		next, words := w.next(t)
		took := time.Since(begin)
		today := fmt.Sprint("after ", n+1, " ", time.Now().UTC().Format(time.DateOnly))
		if before := fmt.Sprint("after ", n+1, " ", begin.UTC().Format(time.DateOnly)); words != today && words != before {
			t.Errorf("it is told %q, want %q", words, today)
		}
		if next == pid {
			t.Errorf("worker %d came back from the dead", pid)
		}
		if took > busy.Stretch(200*time.Millisecond) {
			t.Errorf("the next worker came after %v", took)
		}
		pid = next
	}
	result := make(chan error, 1)
	go func() { result <- stop() }()
	if last, words := w.next(t); last != pid || words != "stopped" {
		t.Errorf("worker %d said %q, want %d to have stopped by itself", last, words, pid)
	}
	if err := <-result; err != nil {
		t.Errorf("keeper: %v", err)
	}
}

func TestWorkerThatDiesAtStartDoesNotSpin(t *testing.T) {
	w := newWorkers(t)
	stop := keep(t, "die", w)
	begin := time.Now()
	const starts = 8
	for range starts {
		w.next(t)
	}
	if took := time.Since(begin); took < 2*200*time.Millisecond {
		t.Errorf("%d starts within %v", starts, took)
	}
	if err := stop(); err != nil {
		t.Errorf("keeper: %v", err)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	w := newWorkers(t)
	t.Setenv(modeVariable, "refuse")
	err := keeper.Run(t.Context(), []string{w.path}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, keeper.ErrRefused) {
		t.Errorf("error %v, want ErrRefused", err)
	}
	w.next(t)
}

func TestWorkerDiesWithItsKeeper(t *testing.T) {
	w := newWorkers(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], w.path)
	cmd.Env = append(os.Environ(), modeVariable+"=keep")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, _ := w.next(t)
	worker, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(worker)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	ended := []unix.PollFd{{Fd: int32(worker), Events: unix.POLLIN}}
	n, err := unix.Poll(ended, 10_000)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(ended, 10_000)
	}
	if n != 1 {
		_ = unix.PidfdSendSignal(worker, unix.SIGKILL, nil, 0)
		t.Fatalf("worker %d outlives its keeper: %v", pid, err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Polynic-relay holds the file side of tap devices and moves their frames
// (package relay). The process that is started keeps a worker running, which
// does the work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/polynic/polynic/internal/relay"
	"github.com/polynic/polynic/internal/relay/keeper"
	"github.com/polynic/polynic/internal/release"
)

// version is set by the build.
var version string

// errVersion is what parse returns for --version.
var errVersion = errors.New("the version was asked for")

// workerWord is the first argument of a worker; people do not type it.
const workerWord = "worker"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	word := ""
	if len(args) > 0 && (args[0] == workerWord || args[0] == healthWord) {
		word, args = args[0], args[1:]
	}
	if word == healthWord {
		return health(ctx, args, stderr)
	}
	cfg, level, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errVersion):
		fmt.Fprint(stdout, release.Line("polynic-relay", release.Version(version)))
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "polynic-relay: %v; see `polynic-relay --help`\n", err)
		return 1
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	if word == workerWord {
		return work(ctx, cfg, log, stderr)
	}
	err = keeper.Run(ctx, append([]string{workerWord}, args...), log)
	if err != nil && !errors.Is(err, keeper.ErrRefused) { // a refusal was printed by the worker
		fmt.Fprintln(stderr, "polynic-relay:", err)
	}
	if err != nil {
		return 1
	}
	return 0
}

func work(ctx context.Context, cfg relay.Config, log *slog.Logger, stderr io.Writer) int {
	// The kernel named the process after /proc/self/exe.
	if err := os.WriteFile("/proc/self/comm", []byte("polynic-relay"), 0); err != nil {
		log.DebugContext(ctx, "process name", slog.Any("error", err))
	}
	lives := keeper.ReadLives()
	cfg.Worker.Restarts, cfg.Worker.LastRestart = lives.Restarts, lives.Last
	err := relay.Run(ctx, cfg, log)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "polynic-relay:", err)
	if errors.Is(err, relay.ErrStart) {
		return keeper.RefusedCode
	}
	return 1
}

func parse(args []string, stderr io.Writer) (relay.Config, slog.Level, error) {
	var cfg relay.Config
	var level slog.Level
	flags := flag.NewFlagSet("polynic-relay", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.Socket, "socket", "", "`path` of the unix socket to listen at")
	flags.StringVar(&cfg.StateDir, "state", "", "`folder` for the records of ports, best on a tmpfs")
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	wantVersion := flags.Bool("version", false, "print the version of this program")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
	case err != nil:
	case *wantVersion:
		err = errVersion
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case cfg.Socket == "":
		err = errors.New("--socket is missing: give the path of the socket to listen at")
	case cfg.StateDir == "":
		err = errors.New("--state is missing: give a folder for the records of ports")
	}
	return cfg, level, err
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/daemon"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
)

// The word that begins the command lines of the lab's own processes; people do
// not type it.
const labProcess = "lab-process"

// newLabProcess is what the lab's own processes run.
func newLabProcess() *cobra.Command {
	command := &cobra.Command{Use: labProcess, Short: "Run one of the lab's own processes", Hidden: true}
	command.AddCommand(
		&cobra.Command{
			Use: "daemon STATE", Short: "Run the lab", Args: cobra.ExactArgs(1),
			RunE: action(func(cmd *cobra.Command, args []string) error { return runDaemon(cmd.Context(), args[0]) }),
		},
		&cobra.Command{
			Use: "gate COMMAND...", Short: "Wait to be let go, and become the command", Args: cobra.MinimumNArgs(1),
			DisableFlagParsing: true,
			RunE:               action(func(_ *cobra.Command, args []string) error { return process.Become(args) }),
		},
		&cobra.Command{
			Use: "hold", Short: "Hold the lab's namespaces", Args: cobra.NoArgs,
			RunE: action(func(cmd *cobra.Command, _ []string) error { return hold(cmd.Context()) }),
		},
		&cobra.Command{
			Use: "init SPEC", Short: "Become a container", Args: cobra.ExactArgs(1),
			RunE: action(func(_ *cobra.Command, args []string) error { return container.Init(args[0]) }),
		},
	)
	return command
}

func runDaemon(ctx context.Context, stateDir string) error {
	// Handed down by lab.Up. Nothing that the daemon starts may have them: a
	// lock lives as long as the last copy of it.
	unix.CloseOnExec(lab.LockFD)
	unix.CloseOnExec(lab.EventsFD)
	unix.Umask(0o022) // volumes are for every user of a container
	dir, err := state.Open(stateDir)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return daemon.Run(ctx, daemon.Config{
		Dir:      dir,
		Programs: filepath.Dir(program),
		Gate:     []string{program, labProcess, "gate"},
		Hold:     []string{program, labProcess, "hold"},
		Init:     []string{program, labProcess, "init"},
		Events:   os.NewFile(lab.EventsFD, "events"),
		Log:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

// hold waits for the order to end.
func hold(ctx context.Context) error {
	if err := process.WaitGate(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

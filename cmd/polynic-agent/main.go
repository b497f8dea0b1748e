// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Command polynic-agent is the node agent: it gives pods their interfaces and
// keeps them as they should be. It may be stopped, killed and upgraded at any
// time; traffic goes on without it.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/agent"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/release"
	"github.com/polynic/polynic/internal/usage"
)

// version is set by the build.
var version string

// garbage is how much memory may be garbage, in percent of what is in use
// (GOGC). There is an agent on every node, and hardly one has anything to do:
// its memory counts for more than the collector's time.
const garbage = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "polynic-agent:", err)
		stop()
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var path, level string
	root := &cobra.Command{
		Use:           "polynic-agent --config FILE",
		Short:         "Give pods their interfaces and keep them as they should be",
		Example:       "  polynic-agent --config /etc/polynic/agent.yaml\n  polynic-agent health",
		Args:          cobra.NoArgs,
		Version:       release.Version(version),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := options(path, level)
			if err != nil {
				return err
			}
			return agent.Run(cmd.Context(), options)
		},
	}
	root.SetVersionTemplate(release.Line("polynic-agent", "{{.Version}}"))
	root.PersistentFlags().StringVar(&path, "config", "/etc/polynic/agent.yaml", "configuration file")
	root.PersistentFlags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	root.AddCommand(newHealth(&path), newPods(&path, &level), &cobra.Command{
		Use:   "remove",
		Short: "Take away everything that polynic made on this node, while no agent runs",
		Long: `Take away everything that polynic made on this node, while no agent runs and the relay does. Pods that
run lose their network; polynic uninstall asks before, and removes the CNI plugin as well. Where the
configuration has an etcd, what pods of this node have there goes, too, if etcd answers within 10 seconds.`,
		Example: "  polynic-agent remove --config /etc/polynic/agent.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := options(path, level)
			if err != nil {
				return err
			}
			return agent.Remove(cmd.Context(), options, cmd.OutOrStdout())
		},
	})
	usage.Lead(root)
	return root
}

func options(path, level string) (agent.Options, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return agent.Options{}, fmt.Errorf("--log-level: %w", err)
	}
	c, err := config.Load(path)
	if err != nil {
		return agent.Options{}, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
	return agent.Options{Config: c, Version: release.Version(version), Log: log}, nil
}

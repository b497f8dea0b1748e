// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
)

// healthLimit bounds the question, in any case below a probe's patience.
const healthLimit = 4 * time.Second

// newHealth is what a probe runs: this program, so that it shares its memory
// with the agent whose limit it is under.
func newHealth(path *string) *cobra.Command {
	var onlyAlive bool
	command := &cobra.Command{
		Use:     "health",
		Short:   "Ask the agent that runs here whether it is ready; the exit code is 1 where it is not",
		Example: "  polynic-agent health\n  polynic-agent health --alive",
		Args:    cobra.NoArgs,
	}
	command.Flags().BoolVar(&onlyAlive, "alive", false, "be content with an answer, ready or not")
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*path)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), healthLimit)
		defer cancel()
		status, err := inspect.NewClient(c.InspectSocket()).Status(ctx)
		if err != nil || status.Ready || onlyAlive {
			return err
		}
		return fmt.Errorf("not ready: %v", status.Problems)
	}
	return command
}

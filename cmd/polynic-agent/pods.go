// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/agent"
)

func newPods(path, level *string) *cobra.Command {
	return &cobra.Command{
		Use:     "pods",
		Short:   "List the pods that have interfaces on this node, one a line, while no agent runs",
		Example: "  polynic-agent pods --config /etc/polynic/agent.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := options(*path, *level)
			if err != nil {
				return err
			}
			pods, err := agent.Pods(options)
			if err != nil {
				return err
			}
			for _, p := range pods {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), p); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

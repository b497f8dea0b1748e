// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/install"
)

func newUninstall() *cobra.Command {
	removal := install.Removal{Node: install.DefaultNode()}
	var force, stay bool
	command := &cobra.Command{
		Use:   "uninstall",
		Short: "Take everything of polynic away from this node",
		Long: `Take everything of polynic away from this node, while no agent runs on it: first the CNI configuration,
so that no pod comes any more; then links, routes, rules, settings and state; last the plugin. It may be
repeated. Pods that run keep it from doing anything, unless it is forced: then they stay without network.
What pods of this node have in etcd goes as well, where the agent's configuration has an etcd and it answers.

In a cluster deploy/uninstall.yaml runs it on every node.`,
		Example: "  sudo polynic uninstall\n  sudo polynic uninstall --force",
		Args:    cobra.NoArgs,
	}
	nodeFlags(command.Flags(), &removal.Node)
	command.Flags().StringVar(&removal.AgentConfig, "config", "/etc/polynic/agent.yaml", "the agent's configuration `file`")
	command.Flags().BoolVar(&force, "force", false, "also where pods have interfaces still")
	command.Flags().BoolVar(&stay, "stay", false, "do nothing, and end when told to: for the pod that has done it")
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		if stay {
			<-cmd.Context().Done()
			return nil
		}
		if force {
			removal.Pods = install.CutPods
		}
		var err error
		if removal.Programs, err = programs(); err != nil {
			return err
		}
		return install.Uninstall(cmd.Context(), cmd.OutOrStdout(), removal)
	})
	return command
}

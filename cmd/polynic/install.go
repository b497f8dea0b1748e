// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/polynic/polynic/internal/install"
)

func newInstall() *cobra.Command {
	options := install.Options{Node: install.DefaultNode()}
	command := &cobra.Command{
		Use:   "install",
		Short: "Put the CNI plugin and its configuration on this node",
		Long: `Put the CNI plugin into the runtime's folder of plugins and then, last, its configuration into the
folder of configurations. Every file is replaced as a whole, or left alone where it is the same already.
In a cluster the agent's pod does this before the agent starts.

The node turns Ready only when the agent answers, not when the configuration is there (CNI 1.1).`,
		Example: "  sudo polynic install\n  sudo polynic install --secondary",
		Args:    cobra.NoArgs,
	}
	nodeFlags(command.Flags(), &options.Node)
	command.Flags().StringVar(&options.CNIVersion, "cni-version", install.DefaultCNIVersion,
		"CNI version of the configuration; below 1.1.0 for runtimes that know no STATUS")
	command.Flags().BoolVar(&options.Secondary, "secondary", false,
		"no configuration: the main network is another's, and a NetworkAttachmentDefinition names polynic-cni")
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		var err error
		if options.Programs, err = programs(); err != nil {
			return err
		}
		return install.Install(cmd.OutOrStdout(), options)
	})
	return command
}

// nodeFlags add the flags that say where a node keeps things.
func nodeFlags(flags *pflag.FlagSet, n *install.Node) {
	flags.StringVar(&n.CNIBinDir, "cni-bin-dir", n.CNIBinDir, "`folder` of CNI plugins")
	flags.StringVar(&n.CNIConfDir, "cni-conf-dir", n.CNIConfDir, "`folder` of CNI configurations")
	flags.StringVar(&n.RunDir, "run-dir", n.RunDir, "the agent's runDir")
	flags.StringVar(&n.StateDir, "state-dir", n.StateDir, "the agent's stateDir")
}

// programs is the folder of this program, and so of the others.
func programs() (string, error) {
	self, err := os.Executable()
	return filepath.Dir(self), err
}

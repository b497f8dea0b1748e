// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/vppcli"
)

func newVppctl() *cobra.Command {
	var stateDir, node, socket string
	command := &cobra.Command{
		Use:   "vppctl -- COMMAND...",
		Short: "Run a command of VPP's command line",
		Long: `Run a command of VPP's command line on the node of a lab, or at the socket of any VPP (--socket), and print
what it says. What polynic made there is known by its tag; what is changed there by hand is made good again.`,
		Example: `  sudo polynic vppctl -- show interface
  sudo polynic vppctl -- show memif
  sudo polynic vppctl --socket /run/vpp/cli.sock -- show version`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at > 0 || len(args) == 0 {
				return errors.New("give VPP's command after --")
			}
			return nil
		},
	}
	stateFlag(command, &stateDir)
	command.Flags().StringVar(&node, "node", lab.NodeName, "`name` of the lab's node")
	command.Flags().StringVar(&socket, "socket", "", "`socket` of a VPP's command line (cli-listen), instead of the lab's")
	command.RunE = action(func(cmd *cobra.Command, args []string) error {
		if socket == "" {
			var err error
			if socket, err = lab.VPPSocket(stateDir, node); err != nil {
				return err
			}
		}
		return vppcli.Run(cmd.Context(), socket, strings.Join(args, " "), cmd.OutOrStdout())
	})
	return command
}

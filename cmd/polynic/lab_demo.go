// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/lab/demo"
)

func newLabDemo() *cobra.Command {
	var file, family, dataplane string
	command := &cobra.Command{
		Use:   "demo -f FILE",
		Short: "Show a lab at work, from up to down",
		Long: `Start a lab of its own, run the pods of a manifest, show what they got, ping between every two of their
interfaces, the node and the outside, take the lab down, and check that nothing is left.`,
		Example: "  sudo polynic lab demo -f examples/two-pods.yaml",
		Args:    noFiles,
	}
	command.Flags().StringVarP(&file, "file", "f", "", "manifest `file` with the pods")
	_ = command.MarkFlagRequired("file") // it exists
	command.Flags().StringVar(&family, "ip-family", "", "addresses of pods: ipv4, ipv6 or dual (default dual)")
	command.Flags().StringVar(&dataplane, "dataplane", "", "what switches: linux or vpp (default linux)")
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		return demo.Demo{
			Polynic: func(ctx context.Context, args []string) error {
				root := newRoot() //nolint:contextcheck // commands take theirs from ExecuteContext
				root.SetArgs(args)
				return root.ExecuteContext(ctx)
			},
			Out:       cmd.OutOrStdout(),
			Dataplane: dataplane,
			Manifest:  file,
			IPFamily:  family,
		}.Run(cmd.Context())
	})
	return command
}

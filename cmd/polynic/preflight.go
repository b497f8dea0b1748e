// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/preflight"
)

func newPreflight() *cobra.Command {
	config, vpp := preflight.Default(), preflight.DefaultVPP()
	dataplane := "linux"
	format := newFormat("json")
	command := &cobra.Command{
		Use:   "preflight",
		Short: "Say what this node lacks for polynic, and what to do",
		Long: `Say what this node lacks for polynic, or has that is in the way, and what to do about it. Nothing is
changed. The exit code is 1 where polynic would not work; warnings are about what is beside it.`,
		Example: "  sudo polynic preflight\n  sudo polynic preflight -o json\n  sudo polynic preflight --dataplane vpp",
		Args:    cobra.NoArgs,
	}
	format.flag(command)
	pods, shares := []string(nil), texts(vpp.HostShares)
	nodeFlags(command.Flags(), &config.Node)
	command.Flags().StringVar(&config.KubeletDir, "kubelet-dir", config.KubeletDir, "kubelet's `folder`")
	command.Flags().StringVar(&config.NetnsDir, "netns-dir", config.NetnsDir, "`folder` of the container runtime's network namespaces")
	command.Flags().StringVar(&config.Root, "root", config.Root, "`folder` where the node's files are, for a container")
	command.Flags().StringVar(&dataplane, "dataplane", dataplane, "what is to switch: linux, the kernel, or vpp")
	command.Flags().StringVar(&vpp.CLISocket, "vpp-cli", vpp.CLISocket, "`socket` of VPP's command line")
	command.Flags().StringSliceVar(&pods, "pods", nil, "`ranges` of this node's pods, to be compared with its networks")
	command.Flags().StringSliceVar(&shares, "host-subnets", shares, "`ranges` of this node's link to VPP: its shares of network.hostSubnets")
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		switch dataplane {
		case "linux":
		case "vpp":
			config.VPP = &vpp
		default:
			return fmt.Errorf("--dataplane %q is not known (want linux or vpp)", dataplane)
		}
		var err error
		if config.Pods, err = prefixes("--pods", pods); err != nil {
			return err
		}
		if vpp.HostShares, err = prefixes("--host-subnets", shares); err != nil {
			return err
		}
		findings := config.Run(cmd.Context())
		write := writeFindings
		if format.value == "json" {
			write = func(w io.Writer, f []preflight.Finding) error { return writeJSON(w, f) }
		}
		if err := write(cmd.OutOrStdout(), findings); err != nil {
			return err
		}
		if !preflight.Usable(findings) {
			return exitCode(codeError)
		}
		return nil
	})
	return command
}

func texts(list []netip.Prefix) []string {
	var all []string
	for _, p := range list {
		all = append(all, p.String())
	}
	return all
}

// prefixes reads the ranges that a flag has.
func prefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return nil, fmt.Errorf("%s: %q is not a range such as 10.1.1.0/24", flag, text)
		}
		list = append(list, p)
	}
	return list, nil
}

func writeFindings(w io.Writer, findings []preflight.Finding) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(out, "%s\t%s\t%s\n", f.Level, f.Check, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(out, "\t\t→ %s\n", f.Advice)
		}
	}
	return out.Flush()
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/state"
)

func newLabUp() *cobra.Command {
	var stateDir string
	settings := lab.DefaultSettings()
	command := &cobra.Command{
		Use:   "up",
		Short: "Start a lab",
		Long: `Start a lab and return once pods can be applied. On a lab whose background process died, start that
again: it takes over everything that still runs.

With --dataplane vpp it runs the VPP that POLYNIC_VPP names, or the one on the PATH, with a configuration
of its own: no huge pages, no DPDK, one thread, which sleeps while there is nothing to do.`,
		Example: `  sudo polynic lab up
  sudo polynic lab up --eth0 tap --ip-family ipv4
  sudo polynic lab up --dataplane vpp
  sudo polynic lab up --state /tmp/lab2 --pod-subnet 10.2.0.0/16,28`,
		Args: cobra.NoArgs,
	}
	stateFlag(command, &stateDir)
	networkFlags(command.Flags(), &settings)
	command.Flags().StringVar(&settings.VPPAPI, "vpp-api", "",
		"API `socket` of a VPP that runs already, in the network namespace that becomes the node's, instead of one of the lab's own")
	command.Flags().BoolVar(&settings.NoEtcd, "no-etcd", false,
		"no etcd, in which the agents of pods are told what is theirs (contivpp.io/microservice-label)")
	command.Flags().IntVar(&settings.Nodes, "nodes", settings.Nodes, "number of nodes: 1")
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		if settings.VPPAPI != "" {
			absolute, err := filepath.Abs(settings.VPPAPI)
			if err != nil {
				return fmt.Errorf("--vpp-api: %w", err)
			}
			settings.VPPAPI = absolute
		}
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("own program: %w", err)
		}
		err = lab.Up(cmd.Context(), lab.UpOptions{
			StateDir:   stateDir,
			Program:    program,
			DaemonArgs: []string{labProcess, "daemon"},
			Change:     func(s *lab.Settings) { changed(cmd.Flags(), settings, s) },
			Tell:       teller(cmd.OutOrStdout(), cmd.ErrOrStderr()),
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "the lab is up; its state is in %s\n", stateDir)
		return err
	})
	return command
}

// networkFlags are those of the pod network.
func networkFlags(flags *pflag.FlagSet, s *lab.Settings) {
	flags.StringVar(&s.Dataplane, "dataplane", s.Dataplane, "what switches: linux, the kernel, or vpp")
	flags.StringVar(&s.IPFamily, "ip-family", s.IPFamily, "addresses of pods: ipv4, ipv6 or dual")
	flags.StringVar(&s.Eth0, "eth0", s.Eth0, "type of a pod's main interface: auto, tap or veth")
	flags.IntVar(&s.MTU, "mtu", s.MTU, "MTU of every pod interface, in bytes")
	flags.IntVar(&s.TapQueues, "tap-queues", s.TapQueues, "queue pairs of a tap")
	flags.StringArrayVar(&s.PodSubnets, "pod-subnet", nil,
		"range of the pods' addresses instead of the family's default: `CIDR`, or CIDR,LENGTH to cut it\n"+
			"into node prefixes of that length; once for each family")
}

// changed carries over the settings whose flags were given.
func changed(flags *pflag.FlagSet, from lab.Settings, to *lab.Settings) {
	carry := map[string]func(){
		"dataplane":  func() { to.Dataplane = from.Dataplane },
		"vpp-api":    func() { to.VPPAPI = from.VPPAPI },
		"no-etcd":    func() { to.NoEtcd = from.NoEtcd },
		"nodes":      func() { to.Nodes = from.Nodes },
		"ip-family":  func() { to.IPFamily = from.IPFamily },
		"eth0":       func() { to.Eth0 = from.Eth0 },
		"mtu":        func() { to.MTU = from.MTU },
		"tap-queues": func() { to.TapQueues = from.TapQueues },
		"pod-subnet": func() { to.PodSubnets = from.PodSubnets },
	}
	flags.Visit(func(f *pflag.Flag) {
		if set, ok := carry[f.Name]; ok {
			set()
		}
	})
}

func newLabDown() *cobra.Command {
	var stateDir string
	command := &cobra.Command{
		Use:   "down",
		Short: "Take a lab down and remove everything it made",
		Long: `Delete every pod, stop the node, and remove what the lab made, files included. It works whatever of the
lab is dead already, and where there is none; only processes that the lab itself started are ended.`,
		Example: "  sudo polynic lab down",
		Args:    cobra.NoArgs,
	}
	stateFlag(command, &stateDir)
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		err := lab.Down(cmd.Context(), stateDir, teller(cmd.OutOrStdout(), cmd.ErrOrStderr()))
		switch {
		case errors.Is(err, state.ErrNoLab):
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "there is no lab at %s; nothing to take down\n", stateDir)
		case err == nil:
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the lab is down; nothing of it is left")
		}
		return err
	})
	return command
}

// said turns the error whose reasons were printed already into an exit code.
func said(err error) error {
	if errors.Is(err, lab.ErrRefused) {
		return exitCode(codeError)
	}
	return err
}

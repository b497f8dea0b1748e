// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/lab"
)

func newLabStatus() *cobra.Command {
	var stateDir string
	format := newFormat("json")
	command := &cobra.Command{
		Use:        "status",
		SuggestFor: []string{"get", "ps", "pods"},
		Short:      "Show what there is of a lab, and what of it is alive",
		Example:    "  sudo polynic lab status\n  sudo nsenter --net=$(sudo polynic lab status -o json | jq -r .nodes[0].netns) ip route",
		Args:       cobra.NoArgs,
	}
	stateFlag(command, &stateDir)
	format.flag(command)
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		status, err := lab.ReadStatus(cmd.Context(), stateDir)
		if err != nil {
			return err
		}
		if format.value == "json" {
			return writeJSON(cmd.OutOrStdout(), status)
		}
		return writeStatus(cmd.OutOrStdout(), status)
	})
	return command
}

func writeStatus(w io.Writer, s lab.Status) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, p lab.Proc, where string) {
		fmt.Fprintf(out, "%s\t%d\t%s\t%d\t%s\n", name, p.PID, alive(p), p.Restarts, where)
	}
	fmt.Fprintln(out, "PART\tPID\tSTATE\tRESTARTS\tWHERE")
	row("daemon", s.Daemon.Proc, s.Daemon.Socket)
	for _, n := range s.Nodes {
		row(n.Name+" agent", n.Agent, n.Sockets["inspect"])
		row(n.Name+" relay", n.Relay, n.Sockets["relay"])
		row(n.Name+" relay worker", n.RelayWorker, workerNote(n.RelayWorker))
		if n.VPP != nil {
			row(n.Name+" vpp", *n.VPP, n.Sockets["vpp"])
		}
		row(n.Name+" holder", n.Holder, n.Path)
	}
	if s.EtcdServer != nil {
		row("etcd", *s.EtcdServer, etcdNote(s.Etcd))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		ready := "ready"
		if !n.Ready {
			ready = "not ready"
		}
		fmt.Fprintf(w, "\n%s is %s\n", n.Name, ready)
		fmt.Fprintf(out, "%s addresses\t%s\n", n.Name, list(n.Addresses))
		if cli := n.Sockets["vpp-cli"]; cli != "" {
			fmt.Fprintf(out, "%s VPP\tAPI %s, command line %s, counters %s\n", n.Name, n.Sockets["vpp"], cli, n.Sockets["vpp-stats"])
		}
	}
	fmt.Fprintf(out, "outside addresses\t%s\n", list(s.Outside.Addresses))
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nNAMESPACE\tPOD\tPHASE\tIPS\tCONTAINERS")
	for _, p := range s.Pods {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", p.Namespace, p.Name, p.Phase, list(p.IPs), containers(p.Containers))
	}
	return out.Flush()
}

func workerNote(p lab.Proc) string {
	if p.LastRestart == nil {
		return "child of the relay"
	}
	return "child of the relay; last started again " + p.LastRestart.Local().Format(time.DateTime)
}

// etcdNote says where etcd serves, for this machine and as the agent has it.
func etcdNote(endpoint *string) string {
	if endpoint == nil {
		return "it has not served yet"
	}
	return *endpoint + ", on the node " + lab.EtcdAtNode
}

func alive(p lab.Proc) string {
	switch {
	case p.PID == 0:
		return "none"
	case p.Alive:
		return "alive"
	default:
		return "dead"
	}
}

func containers(list []lab.ContainerNow) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.Name + " " + c.State
		switch {
		case c.State == "running":
			words[i] += fmt.Sprintf(" (pid %d)", c.PID)
		case c.ExitCode != nil:
			words[i] += fmt.Sprintf(" (code %d)", *c.ExitCode)
		}
	}
	return strings.Join(words, ", ")
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

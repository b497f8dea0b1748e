// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/inspect"
)

func newGet() *cobra.Command {
	command := &cobra.Command{
		Use:     "get",
		Short:   "Show what a node has",
		Example: "  sudo polynic get interfaces\n  sudo polynic get services",
	}
	group(command, newGetInterfaces(), newGetServices())
	return command
}

func newGetInterfaces() *cobra.Command {
	v := newNodeView()
	command := &cobra.Command{
		Use:     "interfaces [POD]",
		Aliases: []string{"interface", "if"},
		Short:   "Show the interfaces of pods",
		Long: `Show the pod interfaces that exist on the node of a lab, or on a real one (--agent). The state is up,
down (planned, but not wholly there) or leaving. Wide adds the node, the name of the switch's end, the packets
from the pod (RX) and to it (TX), and why an interface is down.

Of memif interfaces it shows the id and the application that is connected. Wide adds its rings, and how often
its socket refused an application, or cut one off that offended against the protocol; the memifs of a container
have one socket. JSON has the rest, and the reasons.`,
		Example: `  sudo polynic get interfaces
  sudo polynic get interfaces multi-if-pod -o wide
  sudo polynic get interfaces -o json --agent /run/polynic/inspect.sock`,
		Args: cobra.MaximumNArgs(1),
	}
	v.flags(command, "pods")
	command.RunE = action(func(cmd *cobra.Command, args []string) error {
		agent, err := v.agent()
		if err != nil {
			return err
		}
		all, err := agent.Interfaces(cmd.Context())
		if err != nil {
			return err
		}
		rows := slices.DeleteFunc(all, func(i inspect.Interface) bool {
			return v.namespace != "" && i.Namespace != v.namespace || len(args) > 0 && i.Pod != args[0]
		})
		if v.format.value == "json" {
			return writeJSON(cmd.OutOrStdout(), rows)
		}
		if len(args) > 0 && len(rows) == 0 {
			return fmt.Errorf("pod %s: there is no such pod with interfaces (polynic get interfaces lists all)", args[0])
		}
		return writeInterfaces(cmd.OutOrStdout(), rows, v.format.value)
	})
	return command
}

// writeInterfaces writes a table; where there are memif interfaces it says of them
// who is connected.
func writeInterfaces(w io.Writer, rows []inspect.Interface, format string) error {
	isWide := format == "wide"
	hasMemifs := slices.ContainsFunc(rows, func(i inspect.Interface) bool { return i.Memif != nil })
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	columns := []string{"NAMESPACE", "POD", "INTERFACE", "TYPE", "NETWORK", "IPS", "MAC", "MTU", "STATE"}
	if isWide {
		columns = append(columns, "NODE", "PORT")
	}
	if hasMemifs {
		columns = append(columns, memifTitles(isWide)...)
	}
	hasPublished := slices.ContainsFunc(rows, func(i inspect.Interface) bool { return i.Published != nil })
	if isWide {
		columns = append(columns, "RX", "TX")
		if hasMemifs {
			columns = append(columns, "REFUSED")
		}
		if hasPublished {
			columns = append(columns, "ETCD")
		}
		columns = append(columns, "REASON")
	}
	fmt.Fprintln(out, strings.Join(columns, "\t"))
	for _, i := range rows {
		columns = []string{
			i.Namespace, i.Pod, i.Name, i.Type.String(), i.Network, list(i.IPs), i.MAC.String(),
			strconv.Itoa(i.MTU), string(i.State),
		}
		if isWide {
			columns = append(columns, i.Node, i.Port)
		}
		if hasMemifs {
			columns = append(columns, memifColumns(i.Memif)[:len(memifTitles(isWide))]...)
		}
		if isWide {
			columns = append(columns, packets(i)...)
			if hasMemifs {
				columns = append(columns, refusals(i.Memif))
			}
			if hasPublished {
				columns = append(columns, publishedColumn(i.Published))
			}
			columns = append(columns, cmp.Or(oneLine(i.Reason), "-"))
		}
		fmt.Fprintln(out, strings.Join(columns, "\t"))
	}
	return out.Flush()
}

// publishedColumn says how what the pod's own agent is told stands.
func publishedColumn(p *inspect.Published) string {
	switch {
	case p == nil:
		return "-"
	case p.Reason != "":
		return p.State + ": " + oneLine(p.Reason)
	default:
		return p.State
	}
}

// oneLine is a text without the line breaks of several errors that were joined.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func memifTitles(isWide bool) []string { //nolint:revive // the format is the parameter
	titles := []string{"ID", "APPLICATION", "RINGS"}
	if isWide {
		return titles
	}
	return titles[:2]
}

// packets are those from the pod, and to it.
func packets(i inspect.Interface) []string {
	if i.Counters == nil {
		return []string{"-", "-"}
	}
	return []string{fmt.Sprint(i.Counters.RxPackets), fmt.Sprint(i.Counters.TxPackets)}
}

// memifColumns are what memifTitles names: rings are from and to the application.
func memifColumns(m *inspect.Memif) []string {
	if m == nil {
		return []string{"-", "-", "-"}
	}
	application, rings := "not connected", "-"
	if a := m.Application; a != nil {
		application = cmp.Or(a.Name, "connected") // VPP does not tell who it is
		if a.RingSize > 0 {
			rings = fmt.Sprintf("%d+%d of %d", a.RxQueues, a.TxQueues, a.RingSize)
		}
	}
	return []string{fmt.Sprint(m.ID), application, rings}
}

// refusals are how often an application was refused or cut off.
func refusals(m *inspect.Memif) string {
	if m == nil {
		return "-"
	}
	var refused uint64
	for _, n := range m.Refused {
		refused += n
	}
	return fmt.Sprint(refused)
}

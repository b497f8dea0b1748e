// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
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
		Use:        "interfaces [POD]",
		Aliases:    []string{"interface", "if"},
		SuggestFor: []string{"pods", "pod", "po"},
		Short:      "Show the interfaces of pods",
		Long: `Show the pod interfaces that exist on the node of a lab, or on a real one (--agent). The state is up,
down (planned, but not wholly there) or leaving. Wide adds the node, the name of the switch's end, the packets
from the pod (RX) and to it (TX), and why an interface is down, or what of its pod is not known; columns of which no interface has anything to
say are left out.

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

// column is one of a table of interfaces.
type column struct {
	title string
	of    func(inspect.Interface) string
	// blank is what else than a dash says nothing; a column of which no interface has
	// anything to say is left out where isOptional.
	blank      string
	isOptional bool
}

// columns are those of the table. What only memifs have, or pods with agents of their
// own, or what is wrong, is optional.
func columns(format string) []column {
	all := []column{
		{title: "NAMESPACE", of: func(i inspect.Interface) string { return i.Namespace }},
		{title: "POD", of: func(i inspect.Interface) string { return i.Pod }},
		{title: "INTERFACE", of: func(i inspect.Interface) string { return i.Name }},
		{title: "TYPE", of: func(i inspect.Interface) string { return i.Type.String() }},
		{title: "NETWORK", of: func(i inspect.Interface) string { return i.Network }},
		{title: "IPS", of: func(i inspect.Interface) string { return addresses(i.IPs) }},
		{title: "MAC", of: func(i inspect.Interface) string { return i.MAC.String() }},
		{title: "MTU", of: func(i inspect.Interface) string { return strconv.Itoa(i.MTU) }},
		{title: "STATE", of: func(i inspect.Interface) string { return string(i.State) }},
	}
	memif := []column{
		{title: "ID", of: func(i inspect.Interface) string { return memifID(i.Memif) }, isOptional: true},
		{title: "APPLICATION", of: func(i inspect.Interface) string { return application(i.Memif) }, isOptional: true},
	}
	if format != "wide" {
		return append(all, memif...)
	}
	all = append(all,
		column{title: "NODE", of: func(i inspect.Interface) string { return i.Node }},
		column{title: "PORT", of: func(i inspect.Interface) string { return cmp.Or(i.Port, "-") }})
	return append(append(all, memif...),
		column{title: "RINGS", of: func(i inspect.Interface) string { return rings(i.Memif) }, isOptional: true},
		column{title: "RX", of: func(i inspect.Interface) string { return packets(i, func() uint64 { return i.Counters.RxPackets }) }},
		column{title: "TX", of: func(i inspect.Interface) string { return packets(i, func() uint64 { return i.Counters.TxPackets }) }},
		column{title: "REFUSED", of: func(i inspect.Interface) string { return refusals(i.Memif) }, blank: "0", isOptional: true},
		column{title: "ETCD", of: func(i inspect.Interface) string { return publishedColumn(i.Published) }, isOptional: true},
		column{title: "REASON", of: func(i inspect.Interface) string { return cmp.Or(oneLine(i.Reason), "-") }, isOptional: true},
	)
}

// isShown reports whether the column has something to say of the interfaces.
func (c column) isShown(rows []inspect.Interface) bool {
	return !c.isOptional || slices.ContainsFunc(rows, func(i inspect.Interface) bool {
		word := c.of(i)
		return word != "-" && word != c.blank
	})
}

// writeInterfaces writes a table.
func writeInterfaces(w io.Writer, rows []inspect.Interface, format string) error {
	shown := slices.DeleteFunc(columns(format), func(c column) bool { return !c.isShown(rows) })
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(word func(column) string) {
		words := make([]string, len(shown))
		for n, c := range shown {
			words[n] = word(c)
		}
		fmt.Fprintln(out, strings.Join(words, "\t"))
	}
	line(func(c column) string { return c.title })
	for _, i := range rows {
		line(func(c column) string { return c.of(i) })
	}
	return out.Flush()
}

// addresses are without the length of their prefixes where that is all there can be.
func addresses(ips []netip.Prefix) string {
	var words []string
	for _, p := range ips {
		word := p.String()
		if p.IsSingleIP() {
			word = p.Addr().String()
		}
		words = append(words, word)
	}
	return cmp.Or(strings.Join(words, ","), "-")
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

// packets are those that were counted in a direction.
func packets(i inspect.Interface, number func() uint64) string {
	if i.Counters == nil {
		return "-"
	}
	return strconv.FormatUint(number(), 10)
}

func memifID(m *inspect.Memif) string {
	if m == nil {
		return "-"
	}
	return strconv.FormatUint(uint64(m.ID), 10)
}

func application(m *inspect.Memif) string {
	switch {
	case m == nil:
		return "-"
	case m.Application == nil:
		return "not connected"
	default:
		return cmp.Or(m.Application.Name, "connected") // VPP does not tell who it is
	}
}

// rings are from and to the application.
func rings(m *inspect.Memif) string {
	if m == nil || m.Application == nil || m.Application.RingSize == 0 {
		return "-"
	}
	a := m.Application
	return fmt.Sprintf("%d+%d of %d", a.RxQueues, a.TxQueues, a.RingSize)
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

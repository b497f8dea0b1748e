// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/inspect"
)

func newGetServices() *cobra.Command {
	v := newNodeView()
	command := &cobra.Command{
		Use:     "services [SERVICE]",
		Aliases: []string{"service", "svc"},
		Short:   "Show the Kubernetes services that a node resolves",
		Long: `Show the services that the node of a lab knows, or a real one (--agent), a line for each port and family:
where it is asked for, and who answers. A backend that is at a custom interface of its pod is shown as
ADDRESS=POD@INTERFACE. The state is served, pending (the switch has not accepted it yet), left (to others, such as
kube-proxy), refused (a part of it is not served) or failing; wide says why, and has a line for each endpoint, with
the reason why one is no backend.

Where only services with pods at custom interfaces are resolved (services.mode: custom), nothing is known of
services before there is such a pod.`,
		Example: `  sudo polynic get services
  sudo polynic get services web -n shop -o wide`,
		Args: cobra.MaximumNArgs(1),
	}
	v.flags(command, "services")
	command.RunE = action(func(cmd *cobra.Command, args []string) error {
		agent, err := v.agent()
		if err != nil {
			return err
		}
		all, err := agent.Services(cmd.Context())
		if err != nil {
			return err
		}
		rows := slices.DeleteFunc(all, func(s inspect.Service) bool {
			return v.namespace != "" && s.Namespace != v.namespace || len(args) > 0 && s.Name != args[0]
		})
		switch {
		case v.format.value == "json":
			return writeJSON(cmd.OutOrStdout(), rows)
		case len(args) > 0 && len(rows) == 0:
			return fmt.Errorf("service %s: the node knows none of this name (polynic get services lists all)", args[0])
		case v.format.value == "wide":
			return writeEndpoints(cmd.OutOrStdout(), rows)
		default:
			return writeServices(cmd.OutOrStdout(), rows)
		}
	})
	return command
}

// writeServices writes a line for each port and family.
func writeServices(w io.Writer, rows []inspect.Service) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NAMESPACE\tSERVICE\tPORT\tPROTOCOL\tFRONTENDS\tBACKENDS\tSTATE")
	for _, s := range rows {
		for _, p := range s.Ports {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Namespace, s.Name, cmp.Or(p.Name, "-"), p.Protocol, frontends(p), backends(p), s.State)
		}
		if len(s.Ports) == 0 {
			fmt.Fprintf(out, "%s\t%s\t-\t-\t-\t-\t%s\n", s.Namespace, s.Name, s.State)
		}
	}
	return out.Flush()
}

// writeEndpoints writes a line for each endpoint.
func writeEndpoints(w io.Writer, rows []inspect.Service) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NAMESPACE\tSERVICE\tPORT\tPROTOCOL\tFRONTENDS\tSTATE\tENDPOINT\tPOD\tINTERFACE\tNODE\tUSED\tREASON")
	for _, s := range rows {
		head := s.Namespace + "\t" + s.Name
		if len(s.Ports) == 0 {
			fmt.Fprintf(out, "%s\t-\t-\t-\t%s\t-\t-\t-\t-\t-\t%s\n", head, s.State, cmp.Or(oneLine(s.Reason), "-"))
		}
		for _, p := range s.Ports {
			port := fmt.Sprintf("%s\t%s\t%s\t%s\t%s", head, cmp.Or(p.Name, "-"), p.Protocol, frontends(p), s.State)
			for _, e := range p.Endpoints {
				used := "no"
				if e.Used {
					used = "yes"
				}
				fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", port, e.Address, cmp.Or(e.Pod, "-"), cmp.Or(e.Interface, "-"),
					cmp.Or(e.Node, "-"), used, cmp.Or(oneLine(e.Reason), oneLine(s.Reason), "-"))
			}
			if len(p.Endpoints) == 0 {
				fmt.Fprintf(out, "%s\t-\t-\t-\t-\t-\t%s\n", port, cmp.Or(oneLine(s.Reason), "it has no endpoint"))
			}
		}
	}
	return out.Flush()
}

func frontends(p inspect.ServicePort) string {
	var words []string
	for _, f := range p.Frontends {
		words = append(words, f.Address)
	}
	return cmp.Or(strings.Join(words, ","), "-")
}

// shownBackends bounds how many backends a line has.
const shownBackends = 3

func backends(p inspect.ServicePort) string {
	var words []string
	used := 0
	for _, e := range p.Endpoints {
		if !e.Used {
			continue
		}
		if used++; used > shownBackends {
			continue
		}
		word := e.Address
		if e.Interface != "" {
			_, pod, _ := strings.Cut(e.Pod, "/")
			word += "=" + pod + "@" + e.Interface
		}
		words = append(words, word)
	}
	if used > shownBackends {
		words = append(words, fmt.Sprintf("and %d more", used-shownBackends))
	}
	return cmp.Or(strings.Join(words, ","), "none")
}

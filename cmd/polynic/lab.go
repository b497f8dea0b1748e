// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/lab"
)

func newLab() *cobra.Command {
	command := &cobra.Command{
		Use: "lab",
		// What is typed of kubectl, and of the lab without its name.
		SuggestFor: []string{"up", "down", "apply", "delete", "exec", "status", "demo"},
		Short:      "Run polynic on this machine with no cluster",
		Long: `The lab is a node that is a network namespace, with polynic's agent and relay on it, and a background
process that plays kubelet: it reads pods from manifests, attaches them through the real CNI plugin, and
runs their containers' commands as processes. Nothing is made in the machine's own network namespace.

Images are not pulled: a container sees this machine's files, copy-on-write, and one without a command
waits. Probes, resources and scheduling are ignored; containers are not restarted when they end, and run
with every capability; a field that the lab does not serve, and that a container could tell, refuses
the pod with the field's path.

Several labs run beside each other, each in its own state folder (--state, or POLYNIC_STATE).`,
		Example: `  sudo polynic lab up
  sudo polynic lab apply -f pod.yaml
  sudo polynic lab exec multi-if-pod -- ip address
  sudo polynic lab down`,
	}
	group(command, newLabUp(), newLabDown(), newLabApply(), newLabDelete(), newLabExec(), newLabStatus(), newLabDemo())
	return command
}

// stateFlag adds --state to a command.
func stateFlag(command *cobra.Command, stateDir *string) {
	command.Flags().StringVar(stateDir, "state", cmp.Or(os.Getenv("POLYNIC_STATE"), lab.DefaultStateDir),
		"state `folder` of the lab; POLYNIC_STATE where it is set")
}

// teller prints events as they come: what went wrong to errors, the rest to
// out.
func teller(out, errs io.Writer) func(lab.Event) {
	return func(e lab.Event) {
		if e.Kind == lab.Failed {
			fmt.Fprintln(errs, e)
			return
		}
		fmt.Fprintln(out, e)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/container"
)

// execFlags say where a command is run.
type execFlags struct {
	stateDir, namespace, container string
	node, outside                  bool
}

func newLabExec() *cobra.Command {
	var f execFlags
	command := &cobra.Command{
		Use:   "exec POD | --node | --outside -- COMMAND...",
		Short: "Run a command in a pod, on the node, or outside of it",
		Long: `Run a command with a container's namespaces, environment, mounts and user, or in the network namespace
of the node or of the outside. Its exit code is passed on; 127 where there is no such command.`,
		Example: `  sudo polynic lab exec multi-if-pod -- ip address
  sudo polynic lab exec -it web -n shop -c proxy -- sh
  sudo polynic lab exec --node -- nft list ruleset`,
	}
	command.Args = func(cmd *cobra.Command, args []string) error { return f.check(cmd.ArgsLenAtDash(), args) }
	stateFlag(command, &f.stateDir)
	flags := command.Flags()
	flags.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of the pod")
	flags.StringVarP(&f.container, "container", "c", "", "container, instead of the pod's first")
	flags.BoolVar(&f.node, "node", false, "run it on the node instead of in a pod")
	flags.BoolVar(&f.outside, "outside", false, "run it outside of the node instead of in a pod")
	flags.BoolP("stdin", "i", true, "accepted for kubectl's sake: the standard input is always passed")
	flags.BoolP("tty", "t", true, "accepted for kubectl's sake: a terminal is always passed")
	command.RunE = action(func(cmd *cobra.Command, args []string) error {
		at := cmd.ArgsLenAtDash()
		place, err := f.place(args[:at])
		if err != nil {
			return err
		}
		if container.IsTerminal(os.Stdin) {
			place.Env = append(place.Env, "TERM="+os.Getenv("TERM"))
		}
		// Signals are the command's, not ours.
		ctx := context.WithoutCancel(cmd.Context())
		code, err := container.Exec(ctx, place, args[at:], [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
		if err != nil && code != 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "polynic:", err)
		}
		if code != 0 {
			return exitCode(code)
		}
		return err
	})
	return command
}

// check sees that one place and a command are given.
func (f *execFlags) check(dash int, args []string) error {
	if dash < 0 || dash == len(args) {
		return errors.New("give the command after --")
	}
	places := dash
	for _, given := range []bool{f.node, f.outside} {
		if given {
			places++
		}
	}
	if places != 1 {
		return errors.New("give one of POD, --node and --outside before --")
	}
	return nil
}

func (f *execFlags) place(pod []string) (container.Place, error) {
	switch {
	case f.node:
		return lab.InNetns(f.stateDir, lab.NodeName)
	case f.outside:
		return lab.InNetns(f.stateDir, lab.OutsideName)
	default:
		return lab.InPod(f.stateDir, lab.Name{Namespace: f.namespace, Name: pod[0]}, f.container)
	}
}

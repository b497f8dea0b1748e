// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Command polynic is polynic's command line: it runs a lab on one machine, shows
// what a node has and what a manifest would get, and installs polynic on nodes.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/release"
	"github.com/polynic/polynic/internal/usage"
)

// version is set by the build.
var version string

// The exit codes.
const (
	codeError       = 1
	codeUsage       = 2
	codeInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := newRoot() //nolint:contextcheck // commands take theirs from ExecuteContext
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	var exit exitCode
	var failure failed
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "polynic: interrupted")
		return codeInterrupted
	case errors.As(err, &failure):
		for line := range strings.SplitSeq(err.Error(), "\n") { // errors that were joined
			fmt.Fprintln(os.Stderr, "polynic:", line)
		}
		return codeError
	default: // what cobra found wrong with the command line
		fmt.Fprintln(os.Stderr, "polynic:", usage.Wrong(command, err))
		return codeUsage
	}
}

// failed marks an error of the work itself, as against one of the command
// line.
type failed struct{ error }

func (f failed) Unwrap() error { return f.error }

// exitCode is the error of a command whose own words have been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// action is what a command does, with its errors marked.
func action(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd, args); err != nil {
			return failed{err}
		}
		return nil
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "polynic",
		Short: "Pods with many interfaces",
		Long: `polynic gives a Kubernetes pod, beside eth0, up to 64 tap, veth and memif interfaces, asked for
by the annotation contivpp.io/custom-if. This program runs it on one machine with no cluster (lab),
says what a manifest would get (explain), shows what a node has (get), and looks after the nodes of
a cluster (preflight, install, uninstall).`,
		Example:       "  sudo polynic lab up\n  sudo polynic lab apply -f pod.yaml\n  sudo polynic get interfaces -o wide",
		Version:       release.Version(version),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate(release.Line("polynic", "{{.Version}}"))
	root.CompletionOptions.HiddenDefaultCmd = true
	group(root, newLab(), newGet(), newExplain(), newInstall(), newUninstall(), newPreflight(), newEtcdCerts(), newVppctl(), newVersion(), newLabProcess())
	return root
}

// group gives a command those below it. Cobra shows the help, and is content,
// where a word is none of them; here it is an error, also with flags behind it,
// which only the command that was meant would know.
func group(command *cobra.Command, below ...*cobra.Command) {
	command.AddCommand(below...)
	command.SuggestionsMinimumDistance = 2
	command.DisableFlagsInUseLine = true
	command.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := command.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
		}
		return fmt.Errorf("there is no command %q%s", args[0], hint)
	}
	command.RunE = func(*cobra.Command, []string) error { return command.Help() }
	command.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd == command {
			return cmp.Or(command.Args(command, command.Flags().Args()), err)
		}
		return err
	})
}

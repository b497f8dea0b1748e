// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package usage has the programs' command lines, where they are wrong, lead to the
// help.
package usage

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Lead has every error of a command's flags and arguments, and of those of the
// commands below it, name the help. Errors of the work itself are as they were.
func Lead(command *cobra.Command) {
	command.SetFlagErrorFunc(Wrong) // those below inherit it
	lead(command)
}

func lead(command *cobra.Command) {
	if args := command.Args; args != nil {
		command.Args = func(c *cobra.Command, words []string) error {
			if err := args(c, words); err != nil {
				return Wrong(c, err)
			}
			return nil
		}
	}
	for _, below := range command.Commands() {
		lead(below)
	}
}

// Wrong is an error of a command's command line.
func Wrong(command *cobra.Command, err error) error {
	return fmt.Errorf("%w; see `%s --help`", err, command.CommandPath())
}

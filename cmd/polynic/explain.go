// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/explain"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/manifest"
)

func newExplain() *cobra.Command {
	var files []string
	settings := lab.DefaultSettings()
	command := &cobra.Command{
		Use:   "explain -f FILE...",
		Short: "Say what manifests would get, without touching anything",
		Long: `Say which interfaces the pods of manifests would get, or what is wrong and where; where services would be
asked for, and which of these pods would answer, at which interface; and what would be in etcd of pods with a
microservice label and of CustomConfigurations. Nothing is touched, no lab is needed, and no root. The exit
code is 1 if anything would be refused.

Ranges are those of a lab's node; the flags of polynic lab up change them as they would there.`,
		Example: "  polynic explain -f pod.yaml\n  polynic explain -f pod.yaml --eth0 tap --ip-family ipv4",
		Args:    noFiles,
	}
	filesFlag(command, &files)
	networkFlags(command.Flags(), &settings)
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		cfg, err := settings.Config("/")
		if err != nil {
			return err
		}
		e, err := explain.New(cfg)
		if err != nil {
			return err
		}
		documents, readErr := readManifests(files, cmd.InOrStdin())
		isServed := true
		for _, d := range documents {
			notes(cmd.OutOrStdout(), d)
			ok, err := explained(cmd, e, d, documents)
			if err != nil {
				return errors.Join(readErr, err)
			}
			isServed = isServed && ok
		}
		if readErr == nil && !isServed {
			return exitCode(codeError)
		}
		return readErr
	})
	return command
}

// explained explains one document, with the others beside it; it reports false for
// what would be refused.
func explained(cmd *cobra.Command, e *explain.Explainer, d manifest.Document, all []manifest.Document) (bool, error) {
	switch {
	case d.Pod != nil:
		return e.Pod(cmd.OutOrStdout(), d)
	case d.Custom != nil:
		return e.Custom(cmd.OutOrStdout(), d)
	case d.Service != nil:
		return e.Service(cmd.OutOrStdout(), d, all)
	default:
		return true, nil
	}
}

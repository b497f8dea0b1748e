// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/explain"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/manifest"
)

func newLabApply() *cobra.Command {
	var stateDir string
	var files []string
	command := &cobra.Command{
		Use:   "apply -f FILE...",
		Short: "Run the pods of manifests, with their services and CustomConfigurations",
		Long: `Run the pods of manifests and return once every one is wired and its containers run. A pod that is
refused is named with the reason, leaves nothing behind, and does not keep the others away. The same
manifest again changes nothing; one that asks an existing pod for something else is refused. A service gets
the addresses and ports that it does not name, and may be changed. What CustomConfigurations
ask for is put into the lab's etcd. Other kinds are named and skipped.`,
		Example: `  sudo polynic lab apply -f pod.yaml
  sudo polynic lab apply -f manifests/ -f more.yaml
  cat pod.yaml | sudo polynic lab apply -f -`,
		Args: noFiles,
	}
	stateFlag(command, &stateDir)
	filesFlag(command, &files)
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		documents, readErr := readManifests(files, cmd.InOrStdin())
		request := lab.ApplyRequest{}
		for _, d := range documents {
			notes(cmd.ErrOrStderr(), d)
			if d.Pod != nil {
				warnings(cmd.ErrOrStderr(), d)
				request.Pods = append(request.Pods, d.Pod)
			}
			if d.ConfigMap != nil {
				request.ConfigMaps = append(request.ConfigMaps, d.ConfigMap)
			}
			if d.Custom != nil {
				request.Customs = append(request.Customs, d.Custom)
			}
			if d.Service != nil {
				request.Services = append(request.Services, d.Service)
			}
		}
		if len(request.Pods)+len(request.ConfigMaps)+len(request.Customs)+len(request.Services) == 0 {
			return cmp.Or(readErr, nothing(files))
		}
		return besides(readErr, lab.Apply(cmd.Context(), stateDir, request, teller(cmd.OutOrStdout(), cmd.ErrOrStderr())))
	})
	return command
}

// besides is what to say of work on what could be read, beside what could not.
func besides(readErr, err error) error {
	switch {
	case readErr == nil:
		return said(err)
	case errors.Is(err, lab.ErrRefused):
		return readErr // of what was refused the events told
	default:
		return errors.Join(readErr, err)
	}
}

// noFiles has files given by their flag.
func noFiles(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("give the file with -f: -f %s", args[0])
	}
	return nil
}

func filesFlag(command *cobra.Command, files *[]string) {
	command.Flags().StringArrayVarP(files, "file", "f", nil, "`file` or folder of manifests, - for the standard input; may be repeated")
	_ = command.MarkFlagRequired("file") // it exists
}

// notes tells what a document's author should know although it is no error.
func notes(w io.Writer, d manifest.Document) {
	for _, warning := range d.Warnings {
		fmt.Fprintln(w, warning)
	}
	if reason := d.Skipped(); reason != "" {
		fmt.Fprintln(w, reason)
	}
}

// warnings tells what of a pod's annotations is not read, or has no effect, and
// where its limits do not fit them. Its errors come with the refusal.
func warnings(w io.Writer, d manifest.Document) {
	found, problems := podif.FromAnnotations(d.Pod.Annotations)
	for _, p := range append(problems, explain.Devices(found.Request, d.Pod)...).Warnings() {
		fmt.Fprintln(w, d.Describe(p))
	}
}

func nothing(files []string) error {
	return fmt.Errorf("no pod, config map, service or custom configuration in %s; give -f a manifest that has one", strings.Join(files, ", "))
}

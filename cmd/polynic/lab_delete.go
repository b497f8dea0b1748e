// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/manifest"
)

func newLabDelete() *cobra.Command {
	var stateDir, namespace string
	var files []string
	var request lab.DeleteRequest
	command := &cobra.Command{
		Use:   "delete POD... | -f FILE...",
		Short: "Delete pods, or what manifests have",
		Long: `Delete pods, and return once their processes have ended and their addresses and links are gone.
Containers have two seconds to end after SIGTERM, less where the pod says so. With -f it deletes the
services, config maps and CustomConfigurations of the manifests as well.`,
		Example: `  sudo polynic lab delete multi-if-pod
  sudo polynic lab delete web -n shop
  sudo polynic lab delete -f pod.yaml --ignore-not-found`,
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) == (len(files) == 0) {
				return errors.New("give either pods or -f FILE")
			}
			return nil
		},
	}
	stateFlag(command, &stateDir)
	command.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the pods that are named")
	command.Flags().StringArrayVarP(&files, "file", "f", nil, "`file` or folder of manifests, - for the standard input; may be repeated")
	command.Flags().BoolVar(&request.IgnoreNotFound, "ignore-not-found", false, "be content with what is not there")
	command.RunE = action(func(cmd *cobra.Command, args []string) error {
		for _, pod := range args {
			request.Pods = append(request.Pods, lab.Name{Namespace: namespace, Name: pod})
		}
		documents, readErr := readManifests(files, cmd.InOrStdin())
		addNames(&request, documents)
		if len(request.Pods)+len(request.ConfigMaps)+len(request.Customs)+len(request.Services) == 0 {
			return cmp.Or(readErr, nothing(files))
		}
		return besides(readErr, lab.Delete(cmd.Context(), stateDir, request, teller(cmd.OutOrStdout(), cmd.ErrOrStderr())))
	})
	return command
}

// addNames has what manifests name deleted.
func addNames(request *lab.DeleteRequest, documents []manifest.Document) {
	for _, d := range documents {
		switch {
		case d.Pod != nil:
			request.Pods = append(request.Pods, lab.Name{Namespace: d.Pod.Namespace, Name: d.Pod.Name})
		case d.ConfigMap != nil:
			request.ConfigMaps = append(request.ConfigMaps, lab.Name{Namespace: d.ConfigMap.Namespace, Name: d.ConfigMap.Name})
		case d.Custom != nil:
			request.Customs = append(request.Customs, lab.Name{Namespace: d.Custom.Namespace, Name: d.Custom.Name})
		case d.Service != nil:
			request.Services = append(request.Services, lab.Name{Namespace: d.Service.Namespace, Name: d.Service.Name})
		}
	}
}

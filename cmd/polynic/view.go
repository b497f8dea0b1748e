// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
)

// nodeView is what the commands that show what a node has are asked for.
type nodeView struct {
	stateDir, socket, namespace string
	format                      *format
}

func newNodeView() *nodeView { return &nodeView{format: newFormat("wide", "json")} }

// flags adds the view's flags to a command that shows such things.
func (v *nodeView) flags(command *cobra.Command, things string) {
	stateFlag(command, &v.stateDir)
	v.format.flag(command)
	command.Flags().StringVarP(&v.namespace, "namespace", "n", "", "only "+things+" of this namespace")
	command.Flags().StringVar(&v.socket, "agent", "", "inspect `socket` of an agent, instead of the lab's")
}

// agent is whom to ask.
func (v *nodeView) agent() (*inspect.Client, error) {
	if v.socket != "" {
		return inspect.NewClient(v.socket), nil
	}
	socket, err := lab.InspectSocket(v.stateDir)
	if errors.Is(err, lab.ErrNotRunning) {
		return nil, fmt.Errorf("%w, or ask a node's agent with --agent /run/polynic/inspect.sock", err)
	}
	if err != nil {
		return nil, err
	}
	return inspect.NewClient(socket), nil
}

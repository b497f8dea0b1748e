// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package demo shows the product at work, with its own commands: a lab, the
// pods of a manifest, what they get, pings between everything, and that
// nothing is left afterwards.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
)

// Demo is one run.
type Demo struct {
	// Polynic runs the command line with the given arguments.
	Polynic func(ctx context.Context, args []string) error
	Out     io.Writer
	// Dataplane is what switches; empty for the lab's own choice.
	Dataplane string
	// Manifest is the file with the pods.
	Manifest string
	// IPFamily is that of the pods' addresses; empty for the lab's own choice.
	IPFamily string
}

// Run runs the demo in a new folder. The error names what did not work; the lab
// is taken down in any case.
func (d Demo) Run(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "polynic-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	before, err := machineLinks()
	if err != nil {
		return err
	}
	stateDir := filepath.Join(folder, "lab")
	err = d.show(ctx, stateDir)
	var made survey
	if err == nil {
		made, err = look(ctx, stateDir)
	}
	if _, statErr := os.Stat(stateDir); statErr == nil {
		err = errors.Join(err, d.polynic(context.WithoutCancel(ctx), stateDir, "lab down"))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	fmt.Fprintln(d.Out)
	if err := made.isGone(d.Out, before); err != nil {
		return err
	}
	if err := os.Remove(folder); err != nil { // it is empty if all is well
		return fmt.Errorf("files are left: %w", err)
	}
	fmt.Fprintln(d.Out, "files left: none")
	return nil
}

// show is the demo from the start of the lab to the pings.
func (d Demo) show(ctx context.Context, stateDir string) error {
	var up []string
	if d.Dataplane != "" {
		up = append(up, "--dataplane", d.Dataplane)
	}
	up = append(up, "--eth0", "tap")
	if d.IPFamily != "" {
		up = append(up, "--ip-family", d.IPFamily)
	}
	if err := d.polynic(ctx, stateDir, "lab up", up...); err != nil {
		return err
	}
	if err := d.polynic(ctx, stateDir, "lab apply", "-f", d.Manifest); err != nil {
		return err
	}
	socket, err := lab.InspectSocket(stateDir)
	if err != nil {
		return err
	}
	interfaces, err := inspect.NewClient(socket).Interfaces(ctx)
	if err != nil {
		return err
	}
	for _, pod := range pods(interfaces) {
		if err := d.polynic(ctx, stateDir, "lab exec", "-n", pod.Namespace, pod.Name, "--", "ip", "addr"); err != nil {
			return err
		}
	}
	if err := d.polynic(ctx, stateDir, "get interfaces", "-o", "wide"); err != nil {
		return err
	}
	return d.pingAll(ctx, stateDir, interfaces)
}

// polynic shows a command and runs it on the demo's lab.
func (d Demo) polynic(ctx context.Context, stateDir, command string, args ...string) error {
	fmt.Fprintf(d.Out, "\n$ polynic %s\n", strings.Join(append([]string{command}, args...), " "))
	words := append(strings.Fields(command), "--state", stateDir)
	if err := d.Polynic(ctx, append(words, args...)); err != nil {
		return fmt.Errorf("polynic %s: %w", command, err)
	}
	return nil
}

func pods(interfaces []inspect.Interface) []lab.Name {
	var names []lab.Name
	for _, i := range interfaces {
		if name := (lab.Name{Namespace: i.Namespace, Name: i.Pod}); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

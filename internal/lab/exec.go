// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/state"
)

// InPod is the place in which a pod's container runs; the first one's where no
// container is named. It needs no daemon.
func InPod(stateDir string, pod Name, containerName string) (container.Place, error) {
	dir, err := open(stateDir)
	if err != nil {
		return container.Place{}, err
	}
	record, err := readPod(dir, pod)
	if err != nil {
		return container.Place{}, err
	}
	c, err := record.find(containerName)
	if err != nil {
		return container.Place{}, err
	}
	if c.ExitCode != nil || !c.Process.Alive() {
		return container.Place{}, fmt.Errorf("container %s of pod %s does not run any more", c.Name, pod)
	}
	var spec container.Spec
	if err := state.Read(record.files(dir, c.Name).File(), &spec); err != nil {
		return container.Place{}, fmt.Errorf("container %s of pod %s: %w", c.Name, pod, err)
	}
	return container.Beside(c.Process, spec), nil
}

// InNetns is the place in one of the lab's own network namespaces: NodeName or
// OutsideName. Everything but the network is the caller's.
func InNetns(stateDir, name string) (container.Place, error) {
	dir, err := open(stateDir)
	if err != nil {
		return container.Place{}, err
	}
	folder, err := os.Getwd()
	if err != nil {
		return container.Place{}, fmt.Errorf("working folder: %w", err)
	}
	holder := readRecord(dir, HolderRecord)
	if !holder.Alive() {
		return container.Place{}, fmt.Errorf("%w: nothing holds its namespaces; start it again with `polynic lab up --state %s`",
			ErrNotRunning, stateDir)
	}
	return container.Place{
		Process: holder, Namespaces: []string{"mnt"}, Netns: dir.NetnsOf(strconv.Itoa(holder.PID), name),
		Env: os.Environ(), Dir: folder,
	}, nil
}

func readPod(dir state.Dir, name Name) (*Pod, error) {
	pods, err := ReadPods(dir)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, p := range pods {
		n := Name{p.Manifest.Namespace, p.Manifest.Name}
		if n == name {
			return p, nil
		}
		known = append(known, n.String())
	}
	if known == nil {
		return nil, fmt.Errorf("%w: %s; no pod is applied", ErrNoPod, name)
	}
	return nil, fmt.Errorf("%w: %s; there are %s", ErrNoPod, name, strings.Join(known, ", "))
}

// find gives the container of a name, or the first.
func (p *Pod) find(name string) (Container, error) {
	var known []string
	for _, c := range slices.Concat(p.main(), p.Containers) {
		if name == "" || c.Name == name {
			return c, nil
		}
		if !slices.Contains(known, c.Name) {
			known = append(known, c.Name)
		}
	}
	return Container{}, fmt.Errorf("pod %s has no container %q; it has %s", p.Ref(), name, strings.Join(known, ", "))
}

// InspectSocket is where the agent of the lab's node tells what it has.
func InspectSocket(stateDir string) (string, error) {
	dir, err := open(stateDir)
	if err != nil {
		return "", err
	}
	cfg, err := DefaultSettings().Config(dir)
	return cfg.InspectSocket(), err
}

// VPPSocket is where the VPP of one of the lab's nodes serves its command line.
func VPPSocket(stateDir, nodeName string) (string, error) {
	dir, err := open(stateDir)
	if err != nil {
		return "", err
	}
	if nodeName != NodeName {
		return "", fmt.Errorf("there is no node %s; there is %s", nodeName, NodeName)
	}
	settings := DefaultSettings()
	if err := state.Read(dir.Settings(), &settings); err != nil {
		return "", fmt.Errorf("settings of the lab: %w", err)
	}
	if settings.Dataplane != config.DataplaneVPP {
		return "", fmt.Errorf("the lab at %s has the dataplane %s; start one with `polynic lab up --dataplane vpp`", stateDir, settings.Dataplane)
	}
	cfg, err := settings.Config(dir)
	return cfg.VPP.CLISocket, err
}

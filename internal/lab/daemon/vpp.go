// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/vpp"
	"github.com/polynic/polynic/internal/netns"
)

// removeLimit bounds taking away what the agent made in somebody's VPP.
const removeLimit = 30 * time.Second

// takeNetnsOfVPP makes the namespace of a VPP that runs already, where there is
// one, the node's.
func (d *Daemon) takeNetnsOfVPP(ctx context.Context) error {
	if d.settings.VPPAPI == "" {
		return nil
	}
	path := d.Dir.Netns(lab.NodeName)
	ns, err := netns.Open(path)
	if err == nil { // of an earlier daemon
		return ns.Close()
	}
	if ns, err = vpp.Netns(ctx, d.settings.VPPAPI); err != nil {
		return err
	}
	defer ns.Close()
	return netns.Pins{}.PinOpen(ns, path)
}

// emptyVPP takes away what the agent, which has ended, made in a VPP that is not
// the lab's own, and in its namespace: neither goes with the lab.
func (d *Daemon) emptyVPP(ctx context.Context) error {
	if d.settings.VPPAPI == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	ns, err := netns.Open(d.Dir.Netns(lab.NodeName))
	if err != nil {
		return err
	}
	defer ns.Close()
	command := exec.CommandContext(ctx, filepath.Join(d.Programs, lab.AgentProgram), "remove", "--config", d.Dir.Node(lab.NodeName).AgentConfig())
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := ns.Do(command.Run); err != nil {
		return fmt.Errorf("what was made in VPP stays: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/node"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/lab/vpp"
)

const (
	// readyTimeout is how long the agent may take until it serves requests.
	readyTimeout = 30 * time.Second
	// pollInterval is how often the agent is asked for what it has no events
	// for.
	pollInterval = 10 * time.Millisecond
	// vppPause is the longest before a VPP that died is started again: pods are
	// without network meanwhile.
	vppPause = 500 * time.Millisecond
)

// startNode makes the node, or takes over what is left of it, and waits until
// its agent is ready.
func (d *Daemon) startNode(ctx context.Context) error {
	if err := d.mountNetnsDir(); err != nil {
		return err
	}
	if err := d.takeNetnsOfVPP(ctx); err != nil {
		return err
	}
	if err := node.Wire(d.Dir.Netns(lab.NodeName), d.Dir.Netns(lab.OutsideName)); err != nil {
		return err
	}
	d.tellStart(lab.Event{Kind: lab.Progress, Text: fmt.Sprintf("node %s and the outside have their networks", lab.NodeName)})
	if err := d.writeAgentConfig(); err != nil {
		return err
	}
	programs, err := d.programs()
	if err != nil {
		return err
	}
	files := d.Dir.Node(lab.NodeName)
	for _, p := range programs {
		p.Netns = cmp.Or(p.Netns, d.Dir.Netns(lab.NodeName))
		p.Log = cmp.Or(p.Log, files.Log(p.Name))
		p.Record = d.Dir.Process(p.Name)
		k, err := node.Keep(ctx, p, d.Log)
		if err != nil {
			return err
		}
		d.kept = append(d.kept, k)
	}
	if err := d.waitReady(ctx); err != nil {
		return err
	}
	return d.waitEtcd(ctx)
}

// programs are those of the node, in the order of their start.
func (d *Daemon) programs() ([]node.Program, error) {
	files := d.Dir.Node(lab.NodeName)
	relay, agent := filepath.Join(d.Programs, lab.RelayProgram), filepath.Join(d.Programs, lab.AgentProgram)
	// The holder keeps the lab's namespaces when all others die.
	programs := []node.Program{{Name: lab.HolderRecord, Argv: d.Hold}}
	if d.agent.Etcd.Enabled() {
		programs = append(programs, d.etcd())
	}
	if d.settings.VPP != "" {
		folder := vpp.In(string(files))
		if err := folder.Write(); err != nil {
			return nil, err
		}
		programs = append(programs, node.Program{
			Name: lab.VPPRecord, Argv: append(slices.Clone(d.Gate), d.settings.VPP, "-c", folder.StartupConf()), LongestPause: vppPause,
		})
	}
	return append(programs,
		node.Program{Name: lab.RelayRecord, Argv: append(slices.Clone(d.Gate),
			relay, "--socket", d.agent.RelaySocket(), "--state", files.RelayState())},
		node.Program{Name: lab.AgentRecord, Argv: append(slices.Clone(d.Gate), agent, "--config", files.AgentConfig())},
	), nil
}

// mountNetnsDir puts a tmpfs over the folder of pinned namespaces, unless the
// mount namespace was taken over with it: so the pins are seen by the lab
// alone, and gone with it.
func (d *Daemon) mountNetnsDir() error {
	folder := d.Dir.NetnsDir()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("folder of namespaces: %w", err)
	}
	var inside, outside unix.Stat_t
	if err := unix.Stat(folder, &inside); err != nil {
		return fmt.Errorf("folder of namespaces: %w", err)
	}
	if err := unix.Stat(string(d.Dir), &outside); err != nil {
		return fmt.Errorf("folder of namespaces: %w", err)
	}
	if inside.Dev != outside.Dev {
		return nil
	}
	if err := unix.Mount("netns", folder, "tmpfs", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount %s: %w", folder, err)
	}
	return nil
}

func (d *Daemon) writeAgentConfig() error {
	files := d.Dir.Node(lab.NodeName)
	for _, folder := range []string{d.Dir.Etcd(), files.AgentState(), files.RelayState(), files.Run(), files.Manifests()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("node's folders: %w", err)
		}
	}
	return state.Write(files.AgentConfig(), d.agent)
}

// waitReady waits until the agent is ready. A program that dies meanwhile will
// die again, so its reason is the answer.
func (d *Daemon) waitReady(ctx context.Context) error {
	parts := "relay and agent"
	if d.settings.Dataplane == config.DataplaneVPP {
		parts = "VPP, relay and agent"
	}
	d.tellStart(lab.Event{Kind: lab.Progress, Text: "waiting for " + parts})
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		status, err := d.inspect.Status(ctx)
		if err == nil && status.Ready {
			d.tellStart(lab.Event{Kind: lab.Progress, Text: parts + " are ready"})
			return nil
		}
		if ctx.Err() == nil {
			last = notReady(status, err)
		}
		select {
		case <-tick.C:
		case err := <-d.death():
			return err
		case <-ctx.Done():
			return fmt.Errorf("the agent is not ready after %s: %w", readyTimeout, last)
		}
	}
}

func notReady(status inspect.Status, err error) error {
	if err != nil {
		return err
	}
	for _, p := range status.Problems {
		return fmt.Errorf("%s: %s", p.Object, p.Reason)
	}
	return errors.New("it does not say why")
}

// death is a channel that tells of the next death among the kept programs.
func (d *Daemon) death() <-chan error {
	for _, k := range d.kept {
		if len(k.Deaths()) > 0 {
			return k.Deaths()
		}
	}
	return nil
}

// stopNode ends the node's programs, the last started first. The holder stays:
// it is what the lab's mount namespace hangs on.
func (d *Daemon) stopNode(ctx context.Context) error {
	for n, k := range slices.Backward(d.kept[1:]) {
		if err := k.Stop(ctx); err != nil {
			return err
		}
		if n == len(d.kept)-2 { // that was the agent
			if err := d.emptyVPP(ctx); err != nil {
				return err
			}
		}
	}
	d.Log.InfoContext(ctx, "node stopped", slog.String("node", lab.NodeName))
	return nil
}

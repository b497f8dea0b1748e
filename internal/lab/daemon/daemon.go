// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package daemon is the lab's background process: it makes the node, keeps its
// programs running, and plays kubelet for the pods that are applied. It may
// die at any time; what it started goes on without it, and the next daemon
// takes it over.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/kubelet"
	"github.com/polynic/polynic/internal/lab/node"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/sandbox"
	"github.com/polynic/polynic/internal/lab/state"
)

// Config is what the daemon needs.
type Config struct {
	Dir state.Dir
	// Programs is the folder of the agent, the relay and the CNI plugin.
	Programs string
	// Gate, Hold and Init are commands: a program with its first arguments.
	// Gate calls process.Become with the arguments that follow, Hold waits at
	// the gate and then for ever, Init calls container.Init.
	Gate, Hold, Init []string
	// Events takes what happens at the start; it is closed when that is over.
	Events *os.File
	Log    *slog.Logger
}

// Daemon is the running daemon.
type Daemon struct {
	Config
	settings lab.Settings
	agent    config.Config
	inspect  *inspect.Client
	network  *sandbox.Network
	kubelet  *kubelet.Kubelet
	runner   container.Runner
	kept     []*node.Kept // in the order of their start
	pods     table
	services sync.Mutex // held by who changes them
	watchers *watchers
}

// Run runs the daemon until ctx ends, or a request takes the lab down. It
// expects to be in the lab's mount namespace.
func Run(ctx context.Context, cfg Config) error {
	ctx, leave := context.WithCancel(ctx)
	d := &Daemon{Config: cfg, runner: container.Runner{InitCommand: cfg.Init}, watchers: newWatchers()}
	go d.watchers.run(ctx)
	defer func() {
		leave() // what runs goes on without us; nobody of ours does
		d.watchers.wait()
		for _, k := range d.kept {
			k.Wait()
		}
		if d.kubelet != nil {
			d.kubelet.Stop()
		}
	}()
	if err := d.start(ctx); err != nil {
		d.tellStart(lab.Event{Kind: lab.Failed, Text: err.Error()})
		return errors.Join(err, cfg.Events.Close())
	}
	return d.serve(ctx)
}

// start brings the node and the pods of an earlier daemon up.
func (d *Daemon) start(ctx context.Context) error {
	self, err := process.Self()
	if err != nil {
		return err
	}
	if err := state.Write(d.Dir.Process(lab.DaemonRecord), self); err != nil {
		return fmt.Errorf("record of the daemon: %w", err)
	}
	d.settings = lab.DefaultSettings()
	if err := state.Read(d.Dir.Settings(), &d.settings); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if d.agent, err = d.settings.Config(d.Dir); err != nil {
		return err
	}
	d.inspect = inspect.NewClient(d.agent.InspectSocket())
	d.kubelet, err = kubelet.Start(ctx, kubelet.Config{
		Log: d.Log, Dir: d.Dir.Node(lab.NodeName).Kubelet(), Resources: []string{podif.MemifResource},
	})
	if err != nil {
		return err
	}
	if err := d.startNode(ctx); err != nil {
		return err
	}
	if d.network, err = d.newNetwork(); err != nil {
		return err
	}
	return d.adopt(ctx)
}

func (d *Daemon) newNetwork() (*sandbox.Network, error) {
	return sandbox.New(sandbox.Config{
		PluginDir: d.Programs,
		ConfDir:   d.Dir.CNIConf(),
		CacheDir:  d.Dir.CNICache(),
		Socket:    d.agent.CNISocket(),
		StateDir:  d.agent.StateDir,
	})
}

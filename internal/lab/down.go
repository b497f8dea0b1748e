// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/lab/vpp"
)

// containerGrace is how long a container may take to end after SIGTERM.
const containerGrace = 2 * time.Second

// Down takes a lab down and removes everything it made, whatever of it still
// lives. A daemon that lives removes the pods as a cluster would; what is left
// after it, or without it, is ended.
func Down(ctx context.Context, stateDir string, tell func(Event)) error {
	dir, err := open(stateDir)
	if err != nil {
		return err
	}
	if daemon := readRecord(dir, DaemonRecord); daemon.Alive() {
		if err := post(ctx, dir, DownPath, struct{}{}, tell); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			tell(Event{Kind: Progress, Text: "the background process did not finish (" + err.Error() + "); ending what is left"})
		}
		if err := daemon.Stop(ctx, daemonGrace); err != nil {
			return fmt.Errorf("background process of the lab: %w", err)
		}
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	return clean(ctx, dir)
}

// clean ends every process that the lab recorded and removes its files. Its
// namespaces have no other hold than these processes. The caller holds the
// lock.
func clean(ctx context.Context, dir state.Dir) error {
	pods, err := ReadPods(dir)
	if err != nil {
		return err
	}
	// Containers first: the node goes on serving until they are gone.
	var containers errgroup.Group
	for _, pod := range pods {
		for _, c := range pod.Containers {
			containers.Go(func() error { return c.Process.Stop(ctx, containerGrace) })
		}
	}
	err = containers.Wait()
	for _, name := range []string{AgentRecord, RelayRecord, VPPRecord, EtcdRecord, HolderRecord} {
		err = errors.Join(err, readRecord(dir, name).Stop(ctx, daemonGrace))
	}
	err = errors.Join(err, vpp.In(string(dir.Node(NodeName))).Clean())
	if err != nil {
		return fmt.Errorf("take the lab down: %w", err)
	}
	return dir.Remove()
}

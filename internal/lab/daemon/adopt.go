// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/sandbox"
	"github.com/polynic/polynic/internal/netns"
)

// adopt takes over the pods of an earlier daemon. Those that were on their way
// in or out are removed. One that ran is left alone, unless its sandbox went
// when the node's last process died: then it is started anew in another, as
// kubelet does after a reboot.
func (d *Daemon) adopt(ctx context.Context) error {
	records, err := lab.ReadPods(d.Dir)
	if err != nil {
		return fmt.Errorf("records of pods: %w", err)
	}
	uids := make([]types.UID, len(records))
	for i, record := range records {
		uids[i] = record.Manifest.UID
	}
	if err := d.kubelet.Retain(uids); err != nil {
		return err
	}
	eachPod(records, func(record *lab.Pod) {
		name := lab.Name{Namespace: record.Manifest.Namespace, Name: record.Manifest.Name}
		what, err := d.adoptPod(ctx, name, record)
		if err != nil {
			what = "could not be taken over: " + err.Error()
		}
		d.Log.InfoContext(ctx, "adopt", slog.String("pod", name.String()), slog.String("result", what))
		d.tellStart(lab.Event{Kind: lab.Progress, Object: "pod " + name.String(), Text: what})
	})
	return ctx.Err()
}

func (d *Daemon) adoptPod(ctx context.Context, name lab.Name, record *lab.Pod) (string, error) {
	p, err := d.pods.take(name)
	if err != nil {
		return "", err
	}
	defer d.pods.putBack(name, p)
	p.record = record
	if record.Step == lab.Running && d.hasNetns(record) {
		for at, c := range record.Containers {
			if c.ExitCode == nil {
				// Only its parent sees how a process ends.
				d.watch(p, at, c.Process, func() int { return -1 })
				d.probe(p, at)
			}
		}
		return "goes on", nil
	}
	if record.Step != lab.Running {
		return "was on its way, and is removed", d.discard(ctx, p)
	}
	before := *record
	if err := d.tearDown(ctx, p); err != nil { // it keeps its devices
		return "", err
	}
	anew := &lab.Pod{Manifest: before.Manifest, Step: lab.Starting, Sandbox: sandbox.NewID()}
	if err := d.startPod(ctx, p, anew, func(string) {}); err != nil {
		return "", err
	}
	return "lost its sandbox, and is started anew", nil
}

func (d *Daemon) hasNetns(record *lab.Pod) bool {
	ns, err := netns.Open(d.Dir.Netns(record.NetnsName()))
	if err != nil {
		return false
	}
	_ = ns.Close() // it was opened for reading
	return true
}

// tellStart tells whoever starts the daemon. That nobody listens any more is
// no error.
func (d *Daemon) tellStart(e lab.Event) {
	line, err := json.Marshal(e)
	if err == nil {
		_, _ = d.Events.Write(append(line, '\n'))
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/netns"
)

// maxGrace bounds how long a container may take to end after SIGTERM, whatever
// its pod asks for.
const maxGrace = 2 * time.Second

// startContainers runs the init containers, each to its end, and starts the
// others.
func (d *Daemon) startContainers(ctx context.Context, p *pod, tell func(string)) error {
	record := p.now()
	spec, err := d.spec(&record)
	if err != nil {
		return err
	}
	if err := spec.MakeVolumes(); err != nil {
		return err
	}
	containers, err := spec.Containers()
	if err != nil {
		return err
	}
	ns, err := netns.Open(d.Dir.Netns(record.NetnsName()))
	if err != nil {
		return err
	}
	defer ns.Close()
	for _, c := range containers.Init {
		tell("runs its init container " + c.Name)
		if err := d.runInit(ctx, p, c, ns); err != nil {
			return err
		}
	}
	for _, c := range containers.Main {
		at, running, err := d.startContainer(ctx, p, c, ns)
		if err != nil {
			return err
		}
		d.watch(p, at, running.ID, running.Wait)
		d.probe(p, at)
	}
	return nil
}

// startContainer starts one container, and puts it on the pod's record, at the
// place that it returns.
func (d *Daemon) startContainer(ctx context.Context, p *pod, c container.Spec, ns *netns.Handle) (int, *container.Running, error) {
	at := -1
	running, err := d.runner.Start(ctx, c, ns, func(id process.ID) error {
		return p.update(d.Dir, func(r *lab.Pod) {
			at = len(r.Containers)
			r.Containers = append(r.Containers, lab.Container{Name: c.Name, Process: id, Init: isInit(r, c.Name)})
		})
	})
	return at, running, err
}

func isInit(record *lab.Pod, name string) bool {
	return slices.ContainsFunc(record.Manifest.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
}

func (d *Daemon) runInit(ctx context.Context, p *pod, c container.Spec, ns *netns.Handle) error {
	at, running, err := d.startContainer(ctx, p, c, ns)
	if err != nil {
		return err
	}
	if err := running.ID.Wait(ctx); err != nil {
		return errors.Join(err, running.ID.Stop(ctx, 0), d.ended(p, at, running.Wait()))
	}
	code := running.Wait()
	if err := d.ended(p, at, code); err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("init container %s ended with code %d: %s", c.Name, code, state.LastLine(c.Log()))
	}
	return nil
}

// watch records a container's end when it comes. It returns at once; the
// watching ends with the daemon, the container does not.
func (d *Daemon) watch(p *pod, at int, id process.ID, code func() int) {
	p.watchers.Add(1)
	accepted := d.watchers.start(func(ctx context.Context) {
		defer p.watchers.Done()
		if err := id.Wait(ctx); err != nil {
			return
		}
		if err := d.ended(p, at, code()); err != nil {
			d.Log.ErrorContext(ctx, "end of a container not recorded", slog.Any("error", err))
		}
		d.showStatus(ctx, p)
	})
	if !accepted {
		p.watchers.Done()
	}
}

func (d *Daemon) ended(p *pod, at, code int) error {
	return p.update(d.Dir, func(r *lab.Pod) { r.Containers[at].ExitCode = &code })
}

// stopContainers ends a pod's containers.
func stopContainers(ctx context.Context, record *lab.Pod) error {
	grace := maxGrace
	if s := record.Manifest.Spec.TerminationGracePeriodSeconds; s != nil && *s >= 0 {
		grace = min(grace, time.Duration(*s)*time.Second)
	}
	var group errgroup.Group
	for _, c := range record.Containers {
		group.Go(func() error {
			if err := c.Process.Stop(ctx, grace); err != nil {
				return fmt.Errorf("container %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

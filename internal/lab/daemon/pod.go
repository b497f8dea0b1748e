// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/node"
	"github.com/polynic/polynic/internal/lab/podspec"
	"github.com/polynic/polynic/internal/lab/sandbox"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// goneTimeout is how long the agent may take, after a DEL, until nothing of
// the pod exists any more.
const goneTimeout = 15 * time.Second

const (
	// awayPatience is how long a dataplane may be away before nobody waits for
	// it: a relay that is started again takes a small part of that.
	awayPatience = 2 * time.Second
	// etcdPatience is the same of etcd: nobody misses the keys of a pod that is gone.
	etcdPatience = 500 * time.Millisecond
	// askTimeout is how long the agent may take to say what it has.
	askTimeout = time.Second
)

// errAway and errEtcdAway are wrapped by what is waited for in vain.
var (
	errAway     = errors.New("the dataplane answers again")
	errEtcdAway = errors.New("etcd answers again")
)

// bringUp does for a pod what kubelet and a container runtime do: its manifest
// is where the agent sees it, then the sandbox, then the containers.
func (d *Daemon) bringUp(ctx context.Context, p *pod, tell func(string)) error {
	record := p.now()
	if err := record.Write(d.Dir); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	manifest, err := json.Marshal(record.Manifest)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := state.WriteBytes(d.manifestFile(&record), manifest); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := d.kubelet.Admit(ctx, record.Manifest); err != nil {
		return err
	}
	ns := d.Dir.Netns(record.NetnsName())
	if err := netns.Pin(ns); err != nil {
		return err
	}
	if err := node.Loopback(ns); err != nil {
		return err
	}
	ips, err := d.network.Add(ctx, d.sandbox(&record))
	if err != nil {
		return err
	}
	if err := p.update(d.Dir, func(r *lab.Pod) { r.IPs = ips }); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	tell("is wired: " + words(ips))
	return d.startContainers(ctx, p, tell)
}

// discard removes a pod for good: its devices are free again.
func (d *Daemon) discard(ctx context.Context, p *pod) error {
	uid := p.now().Manifest.UID
	if err := d.tearDown(ctx, p); err != nil {
		return err
	}
	return d.kubelet.Forget(uid)
}

// tearDown removes a pod: its containers, its attachment, its namespace, and
// every file. What is gone already is no error. It returns once the agent has
// nothing of it either.
func (d *Daemon) tearDown(ctx context.Context, p *pod) error {
	if err := p.update(d.Dir, func(r *lab.Pod) { r.Step = lab.Stopping }); err != nil {
		// It goes all the same, and makes room; the next daemon would take it for one that runs.
		d.Log.WarnContext(ctx, "a pod's record is not written", slog.Any("error", err))
	}
	record := p.now()
	if err := stopContainers(ctx, &record); err != nil {
		return err
	}
	if err := d.network.Del(ctx, d.sandbox(&record)); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	if err := netns.Unpin(d.Dir.Netns(record.NetnsName())); err != nil {
		return err
	}
	if err := os.Remove(d.manifestFile(&record)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := d.waitGone(ctx, &record); err != nil {
		return err
	}
	p.watchers.Wait() // they would write the record again
	if err := os.RemoveAll(record.Folder(d.Dir)); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	p.record = nil
	return nil
}

// waitGone waits until the agent lists no interface of the pod. The error is
// what kept it from that when it was asked last.
func (d *Daemon) waitGone(ctx context.Context, record *lab.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := d.gone(ctx, record.Ref())
		if err == nil {
			return nil
		}
		if errors.Is(err, errAway) && time.Since(began) > awayPatience {
			return err
		}
		if errors.Is(err, errEtcdAway) && time.Since(began) > etcdPatience {
			d.Log.WarnContext(ctx, "a pod is gone, and what its agent was told is not", slog.String("pod", record.Ref().String()), slog.Any("error", err))
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %s: %w", goneTimeout, err)
		}
	}
}

// gone is nil once the agent lists no interface of the pod, and no keys in etcd.
func (d *Daemon) gone(ctx context.Context, ref model.PodRef) error {
	// The pod's time may be over; the last answer is still wanted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	interfaces, err := d.inspect.Interfaces(ctx)
	if err != nil {
		return fmt.Errorf("it is not known whether its interfaces are gone: %w", err)
	}
	left := 0
	for _, i := range interfaces {
		if i.Namespace == ref.Namespace && i.Pod == ref.Name {
			left++
		}
	}
	status, err := d.inspect.Status(ctx)
	if err != nil {
		return fmt.Errorf("it is not known what of it is left: %w", err)
	}
	if left > 0 {
		return stays(status, fmt.Sprintf("%d of its interfaces", left), inspect.Dataplane, errAway)
	}
	if slices.ContainsFunc(status.Withdrawn, func(w inspect.Withdrawn) bool { return w.Namespace == ref.Namespace && w.Pod == ref.Name }) {
		return stays(status, "its keys in etcd", inspect.Etcd, errEtcdAway)
	}
	return nil
}

// stays says that something is left, and why where the part is away that would
// remove it.
func stays(status inspect.Status, what, part string, away error) error {
	for _, p := range status.Problems {
		if p.Object == part {
			return fmt.Errorf("%s go only when %w: %s", what, away, p.Reason)
		}
	}
	return fmt.Errorf("the agent still has %s", what)
}

func (d *Daemon) sandbox(record *lab.Pod) sandbox.Sandbox {
	return sandbox.Sandbox{ID: record.Sandbox, Netns: d.Dir.Netns(record.NetnsName()), Pod: record.Ref()}
}

func (d *Daemon) manifestFile(record *lab.Pod) string {
	ref := record.Ref()
	return filepath.Join(d.Dir.Node(lab.NodeName).Manifests(), ref.Namespace+"_"+ref.Name+".json")
}

// spec is the pod with what has to be known to run it.
func (d *Daemon) spec(record *lab.Pod) (podspec.Pod, error) {
	configMaps, err := d.configMaps(record.Manifest.Namespace)
	if err != nil {
		return podspec.Pod{}, err
	}
	var hostIPs []netip.Addr
	for _, prefix := range node.Uplink() {
		hostIPs = append(hostIPs, prefix.Addr())
	}
	return podspec.Pod{
		Pod: record.Manifest, ConfigMaps: configMaps, Folder: record.Folder(d.Dir),
		Node: lab.NodeName, IPs: record.IPs, HostIPs: hostIPs,
		Grants: d.kubelet.Grants(record.Manifest.UID),
	}, nil
}

func words(addresses []netip.Addr) string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = a.String()
	}
	return strings.Join(list, ", ")
}

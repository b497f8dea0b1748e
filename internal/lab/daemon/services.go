// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/serviceip"
	"github.com/polynic/polynic/internal/lab/state"
)

// servicePrefix is what the files begin with by which the agent sees services.
const servicePrefix = "service_"

// applyServices does for services what an API server does: each gets the addresses
// and node ports that it does not name, and is where the agent sees it.
func (d *Daemon) applyServices(list []*corev1.Service, tell func(lab.Event)) {
	if len(list) == 0 {
		return
	}
	d.services.Lock()
	defer d.services.Unlock()
	known, unread := d.readServices()
	for _, s := range list {
		text, err := "", unread
		if unread == nil {
			text, err = d.applyService(known, s)
		}
		tell(outcome("service "+s.Namespace+"/"+s.Name, text, "refused", err))
	}
}

func (d *Daemon) readServices() (*serviceip.Cluster, error) {
	files, err := filepath.Glob(d.serviceFile(lab.Name{Namespace: "*", Name: "*"}))
	if err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	all := make([]*corev1.Service, len(files))
	for n, file := range files {
		if err := state.Read(file, &all[n]); err != nil {
			return nil, fmt.Errorf("services: %w", err)
		}
	}
	var families []bool // IPv6
	for _, s := range d.agent.Network.Subnets {
		families = append(families, s.CIDR.Addr().Is6())
	}
	return serviceip.New(families, all), nil
}

func (d *Daemon) applyService(known *serviceip.Cluster, manifest *corev1.Service) (string, error) {
	s := manifest.DeepCopy()
	s.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Service"))
	old := known.Get(s.Namespace, s.Name)
	text := "created"
	if old != nil {
		text = "changed"
		s.UID, s.CreationTimestamp = old.UID, old.CreationTimestamp
	} else {
		s.UID, s.CreationTimestamp = newUID(), metav1.NewTime(time.Now().Truncate(time.Second))
	}
	if err := known.Complete(s); err != nil {
		return "", err
	}
	if old != nil && reflect.DeepEqual(old.Spec, s.Spec) && reflect.DeepEqual(old.Status, s.Status) {
		return "unchanged", nil
	}
	if err := state.Write(d.serviceFile(lab.Name{Namespace: s.Namespace, Name: s.Name}), s); err != nil {
		return "", err
	}
	known.Put(s)
	if len(s.Spec.ClusterIPs) > 0 {
		text += " " + strings.Join(s.Spec.ClusterIPs, ", ")
	}
	return text, nil
}

func (d *Daemon) removeService(name lab.Name) error {
	d.services.Lock()
	defer d.services.Unlock()
	err := os.Remove(d.serviceFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return absent("service")
	}
	return err
}

// A namespace has no "_", so that no pod's file is called so.
func (d *Daemon) serviceFile(name lab.Name) string {
	return filepath.Join(d.Dir.Node(lab.NodeName).Manifests(), servicePrefix+name.Namespace+"_"+name.Name+".json")
}

// showStatus has the agent see how a pod fares, as an API server would: its
// addresses, and whether it is ready, which is that all its containers are. Its
// services depend on that. Of one on its way out whoever removes it tells.
func (d *Daemon) showStatus(ctx context.Context, p *pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.record == nil || p.record.Step == lab.Stopping {
		return
	}
	// The lock is held, so that nothing is written after what comes later.
	if err := d.writeManifest(p.record); err != nil {
		d.Log.WarnContext(ctx, "the agent does not see how a pod fares", slog.Any("error", err))
	}
}

// writeManifest puts a pod where the agent sees it.
func (d *Daemon) writeManifest(record *lab.Pod) error {
	shown := record.Manifest.DeepCopy()
	shown.Spec.NodeName = lab.NodeName
	shown.Status = statusOf(record)
	if record.Step == lab.Stopping {
		now := metav1.Now()
		shown.DeletionTimestamp = &now
	}
	manifest, err := json.Marshal(shown)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := state.WriteBytes(d.manifestFile(record), manifest); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

func statusOf(record *lab.Pod) corev1.PodStatus {
	status := corev1.PodStatus{Phase: corev1.PodPending}
	for _, ip := range record.IPs {
		status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: ip.String()})
	}
	ready := corev1.ConditionFalse
	if running, isReady := runs(record); running {
		status.Phase = corev1.PodRunning
		if isReady {
			ready = corev1.ConditionTrue
		}
	}
	status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	return status
}

// runs reports whether every container of a pod runs, and whether every one is ready.
func runs(record *lab.Pod) (running, ready bool) {
	running, ready = true, true
	for _, declared := range record.Manifest.Spec.Containers {
		at := slices.IndexFunc(record.Containers, func(c lab.Container) bool { return c.Name == declared.Name })
		if at < 0 || record.Containers[at].ExitCode != nil {
			return false, false
		}
		_, probed := probePort(record, declared.Name)
		ready = ready && (!probed || record.Containers[at].Ready)
	}
	return running, ready
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/netip"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/model"
)

// Pod is the daemon's record of a pod. It is kept in a file, so that the next
// daemon, and commands without one, know what there is.
type Pod struct {
	// Manifest is as it was applied, with namespace and UID set.
	Manifest *corev1.Pod `json:"manifest"`
	Step     Step        `json:"step"`
	// Sandbox is the container id that CNI speaks of.
	Sandbox string `json:"sandbox"`
	// IPs are the main interface's, IPv4 first.
	IPs        []netip.Addr `json:"ips,omitempty"`
	Containers []Container  `json:"containers,omitempty"`
}

// Step is how far a pod has come.
type Step string

// The steps of a pod. One that is found starting or stopping by a new daemon
// is removed.
const (
	Starting Step = "starting"
	Running  Step = "running"
	Stopping Step = "stopping"
)

// Container is the record of one container.
type Container struct {
	Name    string     `json:"name"`
	Init    bool       `json:"init,omitempty"`
	Process process.ID `json:"process"`
	// Ready is set once the container answered its readiness probe.
	Ready bool `json:"ready,omitempty"`
	// ExitCode is there once the container has ended; it is -1 where nobody
	// saw how.
	ExitCode *int `json:"exitCode,omitempty"`
}

// PodFile is the name of a pod's record in its folder.
const PodFile = "pod.json"

// Ref names the pod.
func (p *Pod) Ref() model.PodRef {
	return model.PodRef{Namespace: p.Manifest.Namespace, Name: p.Manifest.Name, UID: string(p.Manifest.UID)}
}

// Folder is the pod's in the state folder.
func (p *Pod) Folder(dir state.Dir) string { return dir.Pod(p.Manifest.Namespace, p.Manifest.Name) }

// NetnsName is the name under which the pod's network namespace is pinned.
func (p *Pod) NetnsName() string { return "cni-" + p.Sandbox[:min(len(p.Sandbox), 12)] }

// files knows where a container of the pod has its files.
func (p *Pod) files(dir state.Dir, name string) container.Spec {
	return container.Spec{Folder: container.Folder(p.Folder(dir), name)}
}

// Write saves the record.
func (p *Pod) Write(dir state.Dir) error {
	return state.Write(filepath.Join(p.Folder(dir), PodFile), p)
}

// ReadPods reads every pod's record, in the order of their names.
func ReadPods(dir state.Dir) ([]*Pod, error) {
	return state.ReadAll[*Pod](dir.PodsDir(), PodFile)
}

// main lists the containers that are not init containers.
func (p *Pod) main() []Container {
	return slices.DeleteFunc(slices.Clone(p.Containers), func(c Container) bool { return c.Init })
}

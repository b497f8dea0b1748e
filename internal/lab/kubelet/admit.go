// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/state"
)

// pluginTimeout is how long a pod waits for a plugin that is not there. In a
// cluster it would wait in the scheduler, for ever.
const pluginTimeout = 10 * time.Second

// admitted is a pod with what its containers were given: an entry of the
// checkpoint.
type admitted struct {
	UID        types.UID           `json:"uid"`
	Namespace  string              `json:"namespace"`
	Name       string              `json:"name"`
	Containers []admittedContainer `json:"containers"`
}

type admittedContainer struct {
	Name string `json:"name"`
	// Ends is set with an init container that ends before others begin.
	Ends    bool      `json:"ends,omitempty"`
	Devices []devices `json:"devices,omitempty"`
}

// devices are those of one resource, with the plugin's answer.
type devices struct {
	Resource string          `json:"resource"`
	IDs      []string        `json:"ids"`
	Grant    container.Grant `json:"grant"`
}

// Admit allocates what a pod's containers ask for. A pod that was admitted
// before keeps what it got then.
func (k *Kubelet) Admit(ctx context.Context, pod *corev1.Pod) error {
	k.admission.Lock()
	defer k.admission.Unlock()
	if k.isAdmitted(pod.UID) {
		return nil
	}
	a := admitted{UID: pod.UID, Namespace: pod.Namespace, Name: pod.Name}
	inherited := map[string][]string{} // by resource: of init containers, for those after them
	initial := len(pod.Spec.InitContainers)
	for i, from := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		c, err := k.allocate(ctx, &from, a, inherited)
		if err != nil {
			return err
		}
		c.Ends = i < initial && !isSidecar(&from)
		for _, d := range c.Devices {
			rest := without(inherited[d.Resource], d.IDs)
			if c.Ends {
				rest = append(rest, d.IDs...)
			}
			inherited[d.Resource] = rest
		}
		a.Containers = append(a.Containers, c)
	}
	return k.update(func(pods []admitted) []admitted { return append(pods, a) })
}

func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// allocate asks the plugins for what one container of the pod wants.
func (k *Kubelet) allocate(ctx context.Context, c *corev1.Container, pod admitted, inherited map[string][]string) (admittedContainer, error) {
	result := admittedContainer{Name: c.Name}
	for _, resource := range k.Resources {
		quantity := c.Resources.Limits[corev1.ResourceName(resource)]
		number, whole := quantity.AsInt64()
		if !whole || number < 0 {
			return result, fmt.Errorf("container %s: resources.limits: %s: %s is not a number of devices", c.Name, resource, quantity.String())
		}
		if number == 0 {
			continue
		}
		d, err := k.ask(ctx, resource, int(number), pod, inherited[resource])
		if err != nil {
			return result, fmt.Errorf("container %s: %w", c.Name, err)
		}
		result.Devices = append(result.Devices, d)
	}
	return result, nil
}

// ask chooses devices, inherited ones first, and asks the plugin for them.
func (k *Kubelet) ask(ctx context.Context, resource string, number int, pod admitted, inherited []string) (devices, error) {
	healthy, err := k.waitHealthy(ctx, resource)
	if err != nil {
		return devices{}, err
	}
	free := without(without(healthy, k.taken(resource)), pod.devices(resource))
	ids := slices.Concat(inherited, free)
	if len(ids) < number {
		return devices{}, fmt.Errorf("%d of %s are asked for, and %d are left", number, resource, len(ids))
	}
	k.mu.Lock()
	p := k.plugins[resource]
	k.mu.Unlock()
	answer, err := p.client.Allocate(ctx, &api.AllocateRequest{
		ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: ids[:number]}},
	})
	if err == nil && len(answer.GetContainerResponses()) != 1 {
		err = errors.New("the answer is not for one container")
	}
	if err != nil {
		return devices{}, fmt.Errorf("%s: %w", resource, err)
	}
	given := answer.GetContainerResponses()[0]
	grant := container.Grant{Env: given.GetEnvs()}
	for _, m := range given.GetMounts() {
		grant.Mounts = append(grant.Mounts, container.Mount{Source: m.GetHostPath(), Target: m.GetContainerPath(), ReadOnly: m.GetReadOnly()})
	}
	return devices{Resource: resource, IDs: slices.Clone(ids[:number]), Grant: grant}, nil
}

// waitHealthy waits until a plugin for the resource has registered.
func (k *Kubelet) waitHealthy(ctx context.Context, resource string) ([]string, error) {
	limited, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	for {
		healthy, changed := k.Healthy(resource)
		if len(healthy) > 0 {
			return healthy, nil
		}
		select {
		case <-changed:
		case <-limited.Done():
			return nil, fmt.Errorf("the node has no healthy %s (%w)", resource, limited.Err())
		}
	}
}

// Grants is what a pod's containers get of their devices, by their names.
func (k *Kubelet) Grants(uid types.UID) map[string]container.Grant {
	grants := map[string]container.Grant{}
	for _, p := range k.admittedPods() {
		if p.UID != uid {
			continue
		}
		for _, c := range p.Containers {
			for _, d := range c.Devices {
				grants[c.Name] = grants[c.Name].And(d.Grant)
			}
		}
	}
	return grants
}

// Forget frees a pod's devices.
func (k *Kubelet) Forget(uid types.UID) error {
	return k.update(func(pods []admitted) []admitted {
		return slices.DeleteFunc(pods, func(p admitted) bool { return p.UID == uid })
	})
}

// Retain frees the devices of all pods that are not among these.
func (k *Kubelet) Retain(uids []types.UID) error {
	return k.update(func(pods []admitted) []admitted {
		return slices.DeleteFunc(pods, func(p admitted) bool { return !slices.Contains(uids, p.UID) })
	})
}

// update changes the checkpoint.
func (k *Kubelet) update(change func([]admitted) []admitted) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	pods := change(slices.Clone(k.pods))
	if err := state.Write(k.checkpoint(), pods); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	k.pods = pods
	return nil
}

func (k *Kubelet) admittedPods() []admitted {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.pods)
}

func (k *Kubelet) isAdmitted(uid types.UID) bool {
	return slices.ContainsFunc(k.admittedPods(), func(p admitted) bool { return p.UID == uid })
}

// taken are the devices of a resource that pods have.
func (k *Kubelet) taken(resource string) []string {
	var ids []string
	for _, p := range k.admittedPods() {
		ids = append(ids, p.devices(resource)...)
	}
	return ids
}

func (a admitted) devices(resource string) []string {
	var ids []string
	for _, c := range a.Containers {
		for _, d := range c.Devices {
			if d.Resource == resource {
				ids = append(ids, d.IDs...)
			}
		}
	}
	return ids
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(some, id) })
}

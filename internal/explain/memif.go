// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"math"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// memifs deals the memif interfaces of a pod to its containers, as the pod path
// does with those that kubelet tells it of.
func memifs(request podif.Request, pod *corev1.Pod, firstID uint32) ([]model.Memif, podif.Problems) {
	problems := limits(pod)
	if problems.Err() != nil {
		return nil, problems
	}
	with := containers(pod)
	dealt, warning, err := attach.Deal(request, with, firstID)
	if err != nil {
		problems = append(problems, problem(podif.Error, "%v", err))
	}
	if warning != "" {
		problems = append(problems, problem(podif.Warning, "%s", warning))
	}
	if len(with) > 0 && len(dealt) == 0 {
		problems = append(problems, problem(podif.Warning, "container %s has memif devices in its limits, and no memif interface is asked for", with[0].Name))
	}
	return dealt, problems
}

// limits tells of devices that kubelet cannot give, and of those that the
// container would not see.
func limits(pod *corev1.Pod) podif.Problems {
	var problems podif.Problems
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		quantity, ok := c.Resources.Limits[podif.MemifResource]
		if !ok {
			continue
		}
		if number, isWhole := quantity.AsInt64(); !isWhole || number < 0 {
			problems = append(problems, problem(podif.Error, "container %s: resources.limits: %s: %s is not a number of devices",
				c.Name, podif.MemifResource, quantity.String()))
		}
		for _, m := range c.VolumeMounts {
			if path.Clean(m.MountPath) == memifdir.MountPath && !quantity.IsZero() {
				problems = append(problems, problem(podif.Warning, "container %s: volume %s is mounted at %s, where the memif socket is: it may hide the socket",
					c.Name, m.Name, memifdir.MountPath))
			}
		}
	}
	return problems
}

// offered tells of more devices than a node offers, on which no pod can run. Init
// containers hand theirs on, unless they stay.
func offered(pod *corev1.Pod, devices int) podif.Problems {
	var most, stay int64
	for n, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		quantity := c.Resources.Limits[podif.MemifResource]
		number := min(max(quantity.Value(), 0), math.MaxInt32)
		if n >= len(pod.Spec.InitContainers) || isSidecar(c) {
			stay += number
			number = 0
		}
		most = max(most, stay+number)
	}
	if most <= int64(devices) {
		return nil
	}
	return podif.Problems{problem(podif.Error, "its containers ask for %d of %s in their limits, and a node offers %d (memif.devices in the agent's configuration)",
		most, podif.MemifResource, devices)}
}

// isSidecar reports whether an init container stays.
func isSidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func problem(s podif.Severity, format string, args ...any) podif.Problem {
	return podif.Problem{Severity: s, Key: podif.CustomIfAnnotation, Reason: fmt.Sprintf(format, args...)}
}

// Devices tells what is wrong, or only odd, about the memif devices in a pod's
// limits, given what its annotations ask for.
func Devices(request podif.Request, pod *corev1.Pod) podif.Problems {
	_, problems := memifs(request, pod, 0)
	return problems
}

// containers are those of a pod with memif devices in their limits. Init
// containers hand theirs on, unless they stay.
func containers(pod *corev1.Pod) []model.MemifContainer {
	var list []model.MemifContainer
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		isInit := slices.ContainsFunc(pod.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == c.Name })
		stays := !isInit || isSidecar(c)
		quantity := c.Resources.Limits[podif.MemifResource]
		devices := min(max(quantity.Value(), 0), int64(podif.MaxValueLen)) // more is no help
		if stays && devices > 0 {
			list = append(list, model.MemifContainer{
				Name: c.Name, MemifAllocation: model.MemifAllocation{Devices: make([]string, devices)},
			})
		}
	}
	return list
}

// application says who has the pod's end of a memif.
func application(m model.Memif) string {
	return fmt.Sprintf("up to the application in container %s that connects to id %d", m.Container, m.ID)
}

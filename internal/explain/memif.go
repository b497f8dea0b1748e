// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// memifs deals the memif interfaces of a pod to its containers, as the pod path
// does with those that kubelet tells it of.
func memifs(request podif.Request, pod *corev1.Pod, firstID uint32) ([]model.Memif, podif.Problems) {
	dealt, warning, err := attach.Deal(request, containers(pod), firstID)
	problem := podif.Problem{Severity: podif.Warning, Key: podif.CustomIfAnnotation, Reason: warning}
	if err != nil {
		problem.Severity, problem.Reason = podif.Error, err.Error()
	}
	if problem.Reason == "" {
		return dealt, nil
	}
	return dealt, podif.Problems{problem}
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
		stays := !isInit || c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
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

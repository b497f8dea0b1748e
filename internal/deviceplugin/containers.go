// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/internal/model"
)

// Containers gives the containers of a pod that kubelet gave memif devices, in
// the pod's order, with what each was allocated; none where there are none. An
// allocation that is not known, or whose folder is gone, is an error that says
// what to do (allocation.ErrUnknown, memifdir.ErrMissing), never a container
// less. Kubelet knows pods by their names alone, so the caller must know that
// the name still means its pod.
func (p *Plugin) Containers(ctx context.Context, pod model.PodRef) ([]model.MemifContainer, error) {
	listed, err := p.kubelet.Pod(ctx, pod)
	if err != nil {
		return nil, err
	}
	var containers []model.MemifContainer
	for _, c := range listed.Containers {
		a, err := p.config.Allocations.Find(listed.Kubelet, c.Devices)
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", c.Name, err)
		}
		containers = append(containers, model.MemifContainer{Name: c.Name, Folder: p.config.Folders.Path(a.ID), MemifAllocation: a})
	}
	return containers, nil
}

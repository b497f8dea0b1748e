// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/api/podif"
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

// Grants says which container's socket serves each memif interface of a pod,
// and as which id. The warning is for the pod's author, and empty where there
// is nothing to tell. A request without memif interfaces needs nothing, and
// kubelet is not asked. A pod without memif devices is refused with
// ErrNoDevices.
func (p *Plugin) Grants(ctx context.Context, pod model.PodRef, request podif.Request) (grants []model.MemifGrant, warning string, err error) {
	if countMemifs(request) == 0 {
		return nil, "", nil
	}
	containers, err := p.Containers(ctx, pod)
	if err != nil {
		return nil, "", err
	}
	return Deal(request, containers, p.config.FirstID)
}

// Deal deals the memif interfaces of a request to containers, in the order of
// both: each takes as many as it has devices, the last takes the rest. Ids count
// up from firstID in the order of the request, over all containers.
func Deal(request podif.Request, containers []model.MemifContainer, firstID uint32) (grants []model.MemifGrant, warning string, err error) {
	wanted := countMemifs(request)
	if wanted == 0 {
		return nil, "", nil
	}
	if len(containers) == 0 {
		return nil, "", fmt.Errorf("%d memif interfaces: %w", wanted, ErrNoDevices)
	}
	devices := 0
	for _, c := range containers {
		devices += len(c.Devices)
	}
	if devices < wanted {
		warning = fmt.Sprintf("%d memif interfaces, and only %d of %s in the containers' limits; the last container, %s, gets the rest",
			wanted, devices, Resource, containers[len(containers)-1].Name)
	}
	at, taken := 0, 0
	for _, i := range request {
		if i.Type != podif.Memif {
			continue
		}
		if taken == len(containers[at].Devices) && at < len(containers)-1 {
			at, taken = at+1, 0
		}
		grants = append(grants, model.MemifGrant{Interface: i.Name, ID: firstID + uint32(len(grants)), Container: containers[at]})
		taken++
	}
	return grants, warning, nil
}

func countMemifs(request podif.Request) int {
	n := 0
	for _, i := range request {
		if i.Type == podif.Memif {
			n++
		}
	}
	return n
}

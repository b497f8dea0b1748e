// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// MemifContainers knows which containers of a pod kubelet gave memif devices, in
// the pod's order; *deviceplugin.Plugin does. Where waiting does not help, the
// error wraps a model.Refusal.
type MemifContainers interface {
	Containers(ctx context.Context, pod model.PodRef) ([]model.MemifContainer, error)
}

// MemifConfig is what memif interfaces are made of.
type MemifConfig struct {
	// Containers is nil where no memif devices are offered.
	Containers MemifContainers
	// Folders are those of the containers.
	Folders memifdir.Dir
	// FirstID is the id of a pod's first memif interface.
	FirstID uint32
	// AcceptUnsealed lets in applications that could take their memory away.
	AcceptUnsealed bool
}

// ErrNoDevices is wrapped by errors about pods that ask for memif interfaces in
// their annotation and for no memif devices in their containers' limits.
const ErrNoDevices = model.Refusal("no container of it has memif devices (add `" + podif.MemifResource +
	": N` to a container's resources.limits, N being the number of its memif interfaces)")

// Deal deals the memif interfaces of a request to containers, in the order of
// both: each takes as many as it has devices, the last takes the rest. Ids count
// up from firstID in the order of the request, over all containers. The warning
// is for the pod's author, and empty where there is nothing to tell. Without a
// container the error wraps ErrNoDevices.
func Deal(request podif.Request, containers []model.MemifContainer, firstID uint32) (memifs []model.Memif, warning string, err error) {
	wanted, devices := countMemifs(request), 0
	if wanted == 0 {
		return nil, "", nil
	}
	if len(containers) == 0 {
		return nil, "", fmt.Errorf("its annotation asks for memif interfaces, but %w", ErrNoDevices)
	}
	for _, c := range containers {
		devices += len(c.Devices)
	}
	if devices < wanted {
		warning = fmt.Sprintf("%d memif interfaces, and only %d of %s in the containers' limits; the last container, %s, gets the rest",
			wanted, devices, podif.MemifResource, containers[len(containers)-1].Name)
	}
	at, taken := 0, 0
	for id := range uint32(wanted) {
		if taken == len(containers[at].Devices) && at < len(containers)-1 {
			at, taken = at+1, 0
		}
		c := containers[at]
		memifs = append(memifs, model.Memif{
			ID: firstID + id, Container: c.Name, Allocation: c.ID, Folder: c.Folder, Secret: c.Secret,
		})
		taken++
	}
	return memifs, warning, nil
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

// grant gives the memif interfaces of a pod their sockets. Of a pod without any
// kubelet is not asked.
func (a *Attacher) grant(ctx context.Context, pod model.Pod, interfaces []model.Interface) error {
	if countMemifs(pod.Request) == 0 {
		return nil
	}
	containers, err := a.config.Memif.Containers.Containers(ctx, pod.Ref)
	if err != nil {
		return refusef(waitFor(err), "pod %s: %w", pod.Ref, err)
	}
	memifs, warning, err := Deal(pod.Request, containers, a.config.Memif.FirstID)
	if err != nil {
		return refusef(cniwire.CodeRefused, "pod %s: %w", pod.Ref, err)
	}
	if warning != "" {
		a.warn(ctx, pod.Ref, FewDevices, warning)
	}
	for n := range interfaces {
		if i := &interfaces[n]; i.Type == podif.Memif {
			i.Memif, memifs = &memifs[0], memifs[1:]
			i.Memif.AcceptUnsealed = a.config.Memif.AcceptUnsealed
		}
	}
	return nil
}

// waitFor is the code of an error about what kubelet gave a pod.
func waitFor(err error) cniwire.Code {
	if _, ok := errors.AsType[model.Refusal](err); ok {
		return cniwire.CodeRefused
	}
	return cniwire.CodeTryAgainLater
}

// socketsFree reports whether another sandbox has one of the attachment's memif
// sockets. One that a DEL was accepted for has let go of it; else the dataplane
// says so. The caller holds a.mu.
func (a *Attacher) socketsFree(att model.Attachment) error {
	mine := map[string]bool{}
	for _, i := range att.Interfaces {
		if i.Memif != nil {
			mine[i.Memif.Allocation] = true
		}
	}
	if len(mine) == 0 {
		return nil
	}
	for _, other := range a.config.Inventory.Attachments() {
		for _, i := range other.Interfaces {
			if i.Memif != nil && mine[i.Memif.Allocation] && !other.Leaving {
				return refusef(cniwire.CodeRefused, "pod %s: its memif socket in %s serves sandbox %s of pod %s (delete that one first)",
					att.Pod, i.Memif.Folder, other.ID, other.Pod)
			}
		}
	}
	return nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"slices"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// wanted decides the sandbox's interfaces: the one the runtime asks for, and
// those that the pod's annotation asks for.
func (a *Attacher) wanted(ctx context.Context, r Request) ([]model.Interface, error) {
	interfaces := []model.Interface{a.newInterface(podif.Interface{
		Name: r.ID.IfName, Type: a.config.MainType, Network: model.DefaultNetwork,
	})}
	if !r.Pod.Known() {
		return interfaces, nil
	}
	pod, err := a.pod(ctx, r.Pod)
	if err != nil {
		return nil, err
	}
	problems := slices.Concat(pod.Problems, podif.Validate(pod.Request, r.ID.IfName))
	if err := problems.Err(); err != nil {
		return nil, refusef(cniwire.CodeRefused, "pod %s: %w", r.Pod, err)
	}
	service := Service{Memif: a.config.Memif.Containers != nil}
	for _, i := range pod.Request {
		if err := service.Served(i); err != nil {
			return nil, refusef(cniwire.CodeRefused, "pod %s: %w", r.Pod, err)
		}
		interfaces = append(interfaces, a.newInterface(i))
	}
	for _, p := range problems.Warnings() {
		a.warn(ctx, r.Pod, Annotation, p.Error())
	}
	return interfaces, a.grant(ctx, pod, interfaces)
}

func (a *Attacher) newInterface(i podif.Interface) model.Interface {
	made := model.Interface{Name: i.Name, Type: i.Type, Network: i.Network}
	if i.Type == podif.Tap || i.Type == podif.Memif {
		made.Queues = a.config.TapQueues
	}
	return made
}

// pod finds the pod that the runtime names: the very one, not another that has
// its name by now.
func (a *Attacher) pod(ctx context.Context, ref model.PodRef) (model.Pod, error) {
	if pod, ok := a.config.Inventory.Pod(ref); ok && samePod(pod.Ref, ref) {
		return pod, nil
	}
	// By its name alone, to tell one that has another pod's name by now.
	pod, ok, err := a.config.Pods.Get(ctx, model.PodRef{Namespace: ref.Namespace, Name: ref.Name})
	switch {
	case err != nil:
		return pod, refusef(cniwire.CodeTryAgainLater, "pod %s: cannot read what it asks for: %w", ref, err)
	case !ok:
		return pod, refusef(cniwire.CodeTryAgainLater, "pod %s is not known (yet)", ref)
	case !samePod(pod.Ref, ref):
		return pod, refusef(cniwire.CodeRefused, "pod %s has UID %s now: the sandbox is for an earlier one, %s",
			ref, pod.Ref.UID, ref.UID)
	}
	return pod, nil
}

func samePod(known, asked model.PodRef) bool {
	return asked.UID == "" || known.UID == "" || known.UID == asked.UID
}

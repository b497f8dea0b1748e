// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"slices"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// wanted decides the sandbox's interfaces: the one the runtime asks for, and
// those that the pod's annotation asks for. These belong to the first attachment
// of the sandbox: a network plugin that calls others, such as Multus, may ask
// for more, each of which has its one interface. The label is that for which the
// custom ones are published, empty where they are not.
func (a *Attacher) wanted(ctx context.Context, r Request) (interfaces []model.Interface, label string, err error) {
	interfaces = []model.Interface{a.newInterface(podif.Interface{
		Name: r.ID.IfName, Type: a.config.MainType, Network: model.DefaultNetwork,
	})}
	others := a.beside(r.ID)
	if err := tableFree(r.ID, others); err != nil {
		return nil, "", err
	}
	if !r.Pod.Known() || len(others) > 0 {
		return interfaces, "", nil
	}
	pod, err := a.pod(ctx, r.Pod)
	if err != nil {
		return nil, "", err
	}
	problems := slices.Concat(pod.Problems, podif.Validate(pod.Request, r.ID.IfName))
	if err := problems.Err(); err != nil {
		return nil, "", refusef(cniwire.CodeRefused, "pod %s: %w", r.Pod, err)
	}
	service := Service{Memif: a.config.Memif.Containers != nil, Etcd: a.config.Publisher != nil}
	if err := service.ServedLabel(LabelOf(pod)); err != nil {
		return nil, "", refusef(cniwire.CodeRefused, "pod %s: %w", r.Pod, err)
	}
	for _, i := range pod.Request {
		if err := service.Served(i); err != nil {
			return nil, "", refusef(cniwire.CodeRefused, "pod %s: %w", r.Pod, err)
		}
		interfaces = append(interfaces, a.newInterface(i))
	}
	for _, p := range problems.Warnings() {
		a.warn(ctx, r.Pod, Annotation, p.Error())
	}
	return interfaces, LabelOf(pod), a.grant(ctx, pod, interfaces)
}

// beside are the sandbox's other attachments, those on their way out included.
func (a *Attacher) beside(id model.AttachmentID) []model.Attachment {
	return slices.DeleteFunc(a.config.Inventory.OfContainer(id.ContainerID), func(other model.Attachment) bool {
		return other.ID == id
	})
}

// tableFree reports that another interface of the pod has the routing table that
// this one would have, as one pair of names in ten thousand has.
func tableFree(id model.AttachmentID, others []model.Attachment) error {
	for _, o := range others {
		if !id.Main() && !o.ID.Main() && plan.AddedTable(o.ID.IfName) == plan.AddedTable(id.IfName) {
			return refusef(cniwire.CodeRefused, "interface %s cannot be beside %s: they would share a routing table; choose another name",
				id.IfName, o.ID.IfName)
		}
	}
	return nil
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
		if former, isKnown := a.recall(ctx, ref); isKnown {
			return former, nil
		}
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

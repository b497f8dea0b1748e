// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package inventory is what is asked for at this moment: the pods that the
// source knows and the attachments that runtimes made. It only remembers;
// others decide. All methods are safe for concurrent use.
package inventory

import (
	"maps"
	"slices"
	"sync"

	"github.com/polynic/polynic/internal/model"
)

// Inventory starts empty.
type Inventory struct {
	mu   sync.RWMutex
	pods map[podName]model.Pod
	// attachments by container id and interface name.
	attachments map[string]map[string]model.Attachment
	synced      chan struct{}
	syncOnce    sync.Once
	changed     func()
}

type podName struct{ namespace, name string }

// New makes an empty inventory.
func New() *Inventory {
	return &Inventory{
		pods:        map[podName]model.Pod{},
		attachments: map[string]map[string]model.Attachment{},
		synced:      make(chan struct{}),
		changed:     func() {},
	}
}

// OnAttachments has a function called whenever an attachment was put or deleted,
// with no lock held; it returns at once. It is to be said before anything is.
func (v *Inventory) OnAttachments(changed func()) { v.changed = changed }

// PutPod takes a pod as the source has it now; it replaces an earlier state or
// an earlier pod of the same name.
func (v *Inventory) PutPod(p model.Pod) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pods[nameOf(p.Ref)] = p
}

// DeletePod forgets a pod. Where the name means another pod by now (another
// UID), that one stays.
func (v *Inventory) DeletePod(ref model.PodRef) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.pods[nameOf(ref)]; ok && (ref.UID == "" || known.Ref.UID == ref.UID) {
		delete(v.pods, nameOf(ref))
	}
}

// Synced is called by the source once it has listed every pod there is.
func (v *Inventory) Synced() { v.syncOnce.Do(func() { close(v.synced) }) }

// PodsSynced is closed once the source has listed every pod.
func (v *Inventory) PodsSynced() <-chan struct{} { return v.synced }

// Pod finds a pod by namespace and name, whatever its UID.
func (v *Inventory) Pod(ref model.PodRef) (model.Pod, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	p, ok := v.pods[nameOf(ref)]
	return p, ok
}

// PutAttachment adds or replaces an attachment.
func (v *Inventory) PutAttachment(a model.Attachment) {
	defer v.changed()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.attachments[a.ID.ContainerID] == nil {
		v.attachments[a.ID.ContainerID] = map[string]model.Attachment{}
	}
	v.attachments[a.ID.ContainerID][a.ID.IfName] = a
}

// DeleteAttachment forgets an attachment.
func (v *Inventory) DeleteAttachment(id model.AttachmentID) {
	defer v.changed()
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.attachments[id.ContainerID], id.IfName)
	if len(v.attachments[id.ContainerID]) == 0 {
		delete(v.attachments, id.ContainerID)
	}
}

// Attachment finds one attachment.
func (v *Inventory) Attachment(id model.AttachmentID) (model.Attachment, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	a, ok := v.attachments[id.ContainerID][id.IfName]
	return a, ok
}

// Attachments lists them all, in no order.
func (v *Inventory) Attachments() []model.Attachment {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]model.Attachment, 0, len(v.attachments))
	for _, ofOne := range v.attachments {
		all = slices.AppendSeq(all, maps.Values(ofOne))
	}
	return all
}

// OfContainer lists the attachments of one container id, in no order.
func (v *Inventory) OfContainer(containerID string) []model.Attachment {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.Collect(maps.Values(v.attachments[containerID]))
}

func nameOf(ref model.PodRef) podName { return podName{ref.Namespace, ref.Name} }

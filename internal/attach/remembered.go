// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"log/slog"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// remember keeps what a pod asked for that a former agent attached, for another
// sandbox of it: its source may be away until then. An attachment without custom
// interfaces says that there were none if it is the main one; else they may have
// been another one's. The caller holds a.mu.
func (a *Attacher) remember(att model.Attachment) {
	if att.Pod.UID == "" || !att.ID.Main() && len(att.Interfaces) == 1 {
		return
	}
	pod := model.Pod{Ref: att.Pod, MicroserviceLabel: att.MicroserviceLabel}
	for _, i := range att.Interfaces {
		if i.Name != att.ID.IfName {
			pod.Request = append(pod.Request, podif.Interface{Name: i.Name, Type: i.Type, Network: i.Network})
		}
	}
	a.remembered[att.Pod] = pod
}

// recall finds a pod that was remembered. Once the source has told of every pod
// there is, what it does not know is not remembered either.
func (a *Attacher) recall(ctx context.Context, ref model.PodRef) (model.Pod, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.config.Inventory.PodsSynced():
		a.remembered = nil
	default:
	}
	pod, ok := a.remembered[ref]
	if ok {
		a.config.Log.WarnContext(ctx, "a pod gets the interfaces that its last sandbox had: it cannot be read what it asks for now",
			slog.String("pod", ref.String()))
	}
	return pod, ok
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// tellApplications writes beside each memif socket what can be connected to,
// where that is not there already, and gives the allocations for which it did.
func (a *Attacher) tellApplications(objects []desired.Object) (written []string, err error) {
	told := map[string][]memifdir.Interface{} // by allocation
	secrets := map[string]model.Secret{}
	for _, o := range objects {
		m, ok := o.(desired.Memif)
		if !ok || m.Secret.Reveal() == "" || a.config.Memif.Folders == "" { // told by another agent
			continue
		}
		id := filepath.Base(m.Folder)
		secrets[id] = m.Secret
		told[id] = append(told[id], memifdir.Interface{
			Name: m.Pod.Name, ID: m.ID, Network: m.Network, MAC: m.Pod.MAC, MTU: m.MTU,
			Addresses: m.Pod.Addresses, Gateways: m.Gateways,
		})
	}
	var errs []error
	for id, interfaces := range told {
		text, err := memifdir.InterfacesJSON(secrets[id], interfaces)
		isNew := false
		if err == nil {
			isNew, err = a.config.Memif.Folders.WriteInterfaces(id, text)
			failpoint.Hit("tell-interfaces")
		}
		if isNew {
			written = append(written, id)
		}
		errs = append(errs, err)
	}
	return written, errors.Join(errs...)
}

// KeepTelling looks after what applications are told of their memifs, until ctx
// ends: a pod may remove or alter it, as everything in its folders. What it does
// instead, a folder of that name for example, is told once.
func (a *Attacher) KeepTelling(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	told := map[model.AttachmentID]string{}
	for {
		select {
		case <-ticker.C:
			told = a.tellAll(ctx, told)
		case <-ctx.Done():
			return
		}
	}
}

// tellAll tells the applications of all pods, and gives by their sandboxes the
// reasons why it could not; those that it gave before are not logged again.
func (a *Attacher) tellAll(ctx context.Context, before map[model.AttachmentID]string) map[model.AttachmentID]string {
	now := map[model.AttachmentID]string{}
	for _, att := range a.config.Inventory.Attachments() {
		objects, err := a.config.Node.Attachment(att) // none of one on its way out
		if err != nil {
			continue
		}
		log := a.config.Log.With(slog.String("sandbox", att.ID.String()), slog.String("pod", att.Pod.String()))
		written, err := a.tellApplications(objects)
		if len(written) > 0 {
			log.InfoContext(ctx, "the pod removed or altered what its application is told of memifs; it is there again",
				slog.String("file", memifdir.MountPath+"/"+memifdir.InterfacesName))
		}
		if err == nil {
			continue
		}
		if now[att.ID] = err.Error(); now[att.ID] != before[att.ID] {
			log.WarnContext(ctx, "cannot tell applications of their memifs", slog.Any("error", err))
		}
	}
	return now
}

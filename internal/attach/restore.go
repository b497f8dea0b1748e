// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Restore takes up the attachments that the journal kept, before the reconciler
// runs and before any verb is served: their addresses are taken, and what they
// should have is set, and told to their applications again. One that cannot be planned by this version keeps its
// addresses and is left as it is. The list is in the order in which addresses
// were given: one whose address was given again was deleted, and only the
// record of that is missing.
func (a *Attacher) Restore(attachments []model.Attachment) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.config.Reconciler.Set(desired.Owner{}, a.config.Node.Objects())
	last := map[netip.Addr]model.AttachmentID{}
	for _, att := range attachments {
		for _, address := range att.Addresses() {
			last[address] = att.ID
		}
	}
	var restored []model.Attachment
	for _, att := range attachments {
		if slices.ContainsFunc(att.Addresses(), func(address netip.Addr) bool { return last[address] != att.ID }) {
			a.drop(att)
			continue
		}
		if err := a.config.Addresses.Take(att.Addresses()...); err != nil {
			return fmt.Errorf("journal: sandbox %s of pod %s: %w (was the pod network changed? delete its pods first)",
				att.ID, att.Pod, err)
		}
		a.config.Inventory.PutAttachment(att)
		a.remember(att)
		restored = append(restored, att)
		leaving := att.Leaving
		att.Leaving = false
		objects, err := a.config.Node.Attachment(att)
		if err != nil {
			a.config.Log.Error("cannot plan a sandbox of the journal", slog.String("sandbox", att.ID.String()), slog.Any("error", err))
			continue
		}
		if leaving {
			a.config.Reconciler.Forget(att.ID, objects)
		} else {
			a.config.Reconciler.Set(att.ID, objects)
			if _, err := a.tellApplications(objects); err != nil {
				a.config.Log.Warn("cannot tell applications of their memifs",
					slog.String("sandbox", att.ID.String()), slog.String("pod", att.Pod.String()), slog.Any("error", err))
			}
		}
	}
	a.takeHeld()
	a.republish(restored)
	return nil
}

// drop takes an attachment of the journal for deleted. What there may be of it
// belongs to nobody, and is removed as such.
func (a *Attacher) drop(att model.Attachment) {
	a.hold(att)
	log := a.config.Log.With(slog.String("sandbox", att.ID.String()))
	log.Warn("a sandbox of the journal has an address that was given to another since: it is taken for deleted")
	if err := a.config.Journal.Delete(att.ID); err != nil {
		log.Warn("cannot write down that a sandbox is gone", slog.Any("error", err))
	}
}

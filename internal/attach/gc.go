// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// parallelDels bounds the removals that a GC or a sweep makes at once.
const parallelDels = 16

// GC removes the attachments of a CNI network that are not listed as valid.
// Those of other networks are not touched, nor those whose ADD has begun: the
// runtime may have made its list before.
func (a *Attacher) GC(ctx context.Context, network string, valid []model.AttachmentID) error {
	begun, done, err := a.turns.collect(ctx)
	if err != nil {
		return err
	}
	defer done()
	valid = slices.Concat(valid, begun)
	return a.removeAll(ctx, func(att model.Attachment) bool {
		return att.Network == network && !slices.Contains(valid, att.ID)
	}, "not among the valid ones")
}

// Sweep removes the attachments whose sandbox is gone: its path leads nowhere,
// or to another namespace. Runtimes may forget a DEL, and reboots do.
func (a *Attacher) Sweep(ctx context.Context) error {
	return a.removeAll(ctx, func(att model.Attachment) bool {
		h, err := netns.OpenExact(att.Netns)
		if err == nil {
			return h.Close() != nil
		}
		return errors.Is(err, netns.ErrGone)
	}, "its sandbox is gone")
}

// Tombstone is a DEL that polynic-cni could not deliver. As with one that it
// could, the id alone counts.
func (a *Attacher) Tombstone(ctx context.Context, id model.AttachmentID) error {
	return a.removeAll(ctx, func(att model.Attachment) bool { return att.ID == id },
		"it was deleted while the agent was away")
}

// removeAll removes the attachments that are picked. Picking is repeated under
// the container's turn, so that one that is being added is judged as it is then.
func (a *Attacher) removeAll(ctx context.Context, pick func(model.Attachment) bool, why string) error {
	var group errgroup.Group
	group.SetLimit(parallelDels)
	for _, att := range a.config.Inventory.Attachments() {
		if att.Leaving || !pick(att) {
			continue
		}
		group.Go(func() error {
			done, err := a.turns.container(ctx, att.ID.ContainerID)
			if err != nil {
				return err
			}
			defer done()
			now, ok := a.config.Inventory.Attachment(att.ID)
			if !ok || now.Leaving || !pick(now) {
				return nil
			}
			a.config.Log.InfoContext(ctx, "removing a sandbox",
				slog.String("sandbox", att.ID.String()), slog.String("pod", att.Pod.String()), slog.String("because", why))
			limited, cancel := context.WithTimeout(ctx, delLimit)
			defer cancel()
			a.remove(limited, now)
			return nil
		})
	}
	return group.Wait()
}

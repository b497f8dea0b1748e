// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/model"
)

// delLimit is how long a DEL waits for the dataplane. What is not cut off by
// then is, by the reconciler, later: the runtime can do nothing about it.
const delLimit = 700 * time.Millisecond

// Del detaches a sandbox. It returns once its traffic is cut and its files are
// closed; links and addresses follow. It fails only where another request of
// the container does not end: what is unknown is gone, and what cannot be
// removed now is written down and removed later.
func (a *Attacher) Del(ctx context.Context, r Request) error {
	done, err := a.turns.container(ctx, r.ID.ContainerID)
	if err != nil {
		return err
	}
	defer done()
	if r.Pod.UID != "" {
		a.recent.add(r.ID.ContainerID)
	}
	att, ok := a.config.Inventory.Attachment(r.ID)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, delLimit)
	defer cancel()
	a.remove(ctx, att)
	return nil
}

// remove sends an attachment on its way out; Gone ends it. The caller holds the
// container's lock.
func (a *Attacher) remove(ctx context.Context, att model.Attachment) {
	if !att.Leaving {
		att.Leaving = true
		a.mu.Lock()
		if err := a.config.Journal.Put(att); err != nil {
			// After a restart the sandbox counts as attached until the sweep
			// finds its namespace gone.
			a.config.Log.WarnContext(ctx, "cannot write down a DEL", slog.String("sandbox", att.ID.String()), slog.Any("error", err))
		}
		a.config.Inventory.PutAttachment(att)
		a.mu.Unlock()
	}
	failpoint.Hit("del-journaled")
	a.withdraw(att)
	if err := a.config.Reconciler.Apply(ctx, att.ID, nil); err != nil && !errors.Is(err, context.Canceled) {
		a.config.Log.WarnContext(ctx, "removing goes on in the background",
			slog.String("sandbox", att.ID.String()), slog.Any("error", err))
	}
	failpoint.Hit("del-cut")
}

// Gone is told by the reconciler that nothing of an owner exists any more: its
// addresses may be given to others.
func (a *Attacher) Gone(owner desired.Owner) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.config.Addresses.Release(a.held[owner]...)
	delete(a.held, owner)
	att, ok := a.config.Inventory.Attachment(owner)
	if !ok || !att.Leaving {
		return
	}
	if err := a.config.Journal.Delete(owner); err != nil {
		a.config.Log.Warn("cannot write down that a sandbox is gone", slog.String("sandbox", owner.String()), slog.Any("error", err))
	}
	failpoint.Hit("gone")
	a.config.Inventory.DeleteAttachment(owner)
	a.config.Addresses.Release(att.Addresses()...)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"log/slog"

	"github.com/polynic/polynic/internal/deviceplugin"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// newMemifs makes the device plugin. What containers were given before is taken
// up, and its folders are there, before kubelet hears of it.
func (a *agent) newMemifs(kept kept) (*deviceplugin.Plugin, error) {
	folders := memifdir.Dir(a.Config.MemifDir())
	allocations := allocation.New(folders, kept.journal)
	if err := allocations.Restore(kept.journal.Allocations()); err != nil {
		// Their pods are refused, with the reason.
		a.Log.Warn("memif folders are missing", slog.Any("error", err))
	}
	return deviceplugin.New(deviceplugin.Config{
		Log:         a.Log,
		KubeletDir:  a.Config.Memif.KubeletDir,
		Devices:     a.Config.Memif.Devices,
		FirstID:     uint32(a.Config.Memif.FirstID),
		Allocations: allocations,
		Folders:     folders,
		Away:        a.reconciler.Away,
		Hold:        a.Config.AwayLimit.Duration,
		// No attachment has a memif interface yet.
		Used: func() map[string]bool { return nil },
	})
}

// gone is told by the reconciler that nothing of an owner exists any more.
func (a *agent) gone(owner model.AttachmentID) {
	a.attacher.Gone(owner)
	if a.memifs != nil {
		a.memifs.Changed()
	}
}

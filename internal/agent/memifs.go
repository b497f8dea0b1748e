// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"log/slog"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/deviceplugin"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// newMemifs makes the device plugin, where devices are offered, and what the pod
// path needs of it. What containers were given before is taken up, and its
// folders are there, before kubelet hears of it. Applications of pods that have
// memifs from when devices were offered are told of them all the same.
func (a *agent) newMemifs(kept kept) (attach.MemifConfig, error) {
	settings, folders := a.Config.Memif, memifdir.Dir(a.Config.MemifDir())
	if !settings.Enabled {
		return attach.MemifConfig{Folders: folders}, nil
	}
	a.allocations = allocation.New(folders, kept.journal)
	if err := a.allocations.Restore(kept.journal.Allocations(), allocationsOf(kept.attachments)); err != nil {
		// New pods are refused with the reason; those that run are down.
		a.Log.Warn("memif folders are missing", slog.Any("error", err))
	}
	var err error
	a.memifs, err = deviceplugin.New(deviceplugin.Config{
		Log:         a.Log,
		KubeletDir:  settings.KubeletDir,
		Devices:     settings.Devices,
		Allocations: a.allocations,
		Folders:     folders,
		Away:        a.reconciler.Away,
		Hold:        a.Config.AwayLimit.Duration,
		Used:        a.usedAllocations,
	})
	return attach.MemifConfig{
		Containers: a.memifs, Folders: folders, FirstID: uint32(settings.FirstID), AcceptUnsealed: settings.AcceptUnsealed,
	}, err
}

// reveal gives the memifs of attachments that the journal lost their secrets, as
// far as these are known.
func (a *agent) reveal(adopted []model.Attachment) {
	if a.allocations == nil {
		return
	}
	for _, att := range adopted {
		for _, i := range att.Interfaces {
			if i.Memif != nil {
				i.Memif.Secret = a.allocations.Secret(i.Memif.Allocation)
			}
		}
	}
}

// usedAllocations lists the ids of those that attachments use.
func (a *agent) usedAllocations() map[string]bool {
	return allocationsOf(a.inventory.Attachments())
}

func allocationsOf(attachments []model.Attachment) map[string]bool {
	used := map[string]bool{}
	for _, att := range attachments {
		for _, i := range att.Interfaces {
			if i.Memif != nil {
				used[i.Memif.Allocation] = true
			}
		}
	}
	return used
}

// gone is told by the reconciler that nothing of an owner exists any more.
func (a *agent) gone(owner model.AttachmentID) {
	a.attacher.Gone(owner)
	if a.memifs != nil {
		a.memifs.Changed()
	}
}

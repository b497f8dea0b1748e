// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

import (
	"context"
	"log/slog"
	"time"

	"github.com/polynic/polynic/internal/deviceplugin/allocation"
)

const (
	// The pauses before a look for allocations that are needed no more. After a
	// change kubelet's own view follows within seconds.
	firstSweep, longSweep = time.Second, 5 * time.Minute
	// sweepLimit bounds one look, with the removal of what is found.
	sweepLimit = time.Minute
)

// sweepLoop forgets allocations that are needed no more: soon after a change,
// and less and less often while nothing changes.
func (p *Plugin) sweepLoop(ctx context.Context) error {
	pause := firstSweep
	due := time.NewTimer(pause)
	defer due.Stop()
	for {
		select {
		case <-p.changed:
			pause = firstSweep
			due.Reset(pause)
		case <-due.C:
			p.sweep(ctx)
			pause = min(2*pause, longSweep)
			due.Reset(pause)
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Plugin) sweep(ctx context.Context) {
	if p.config.Allocations.IsEmpty() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	sight := allocation.Sight{Moment: p.config.Allocations.Moment()}
	listing, err := p.kubelet.List(ctx)
	if err != nil {
		p.config.Log.DebugContext(ctx, "kubelet does not say which devices are in use", slog.Any("error", err))
		return
	}
	sight.Kubelet, sight.Used = listing.Kubelet, p.config.Used()
	for _, c := range listing.Containers {
		sight.Listed = append(sight.Listed, c.Devices)
	}
	if err := p.config.Allocations.Sweep(ctx, sight); err != nil && ctx.Err() == nil {
		p.config.Log.WarnContext(ctx, "forgetting memif allocations", slog.Any("error", err))
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

import (
	"context"
	"log/slog"
	"time"
)

// looks is how often, within the time that bad health is held, it is looked
// after.
const looks = 12

// watchHealth has the devices' health follow the dataplane's: bad once that was
// away for as long as it is held, good as soon as it is back.
func (p *Plugin) watchHealth(ctx context.Context) error {
	ticker := time.NewTicker(max(p.config.Hold/looks, time.Millisecond))
	defer ticker.Stop()
	for {
		since, reason := p.config.Away()
		healthy := reason == nil || time.Since(since) < p.config.Hold
		if p.service.setHealthy(healthy) {
			if healthy {
				p.config.Log.InfoContext(ctx, "memif devices are healthy again")
			} else {
				p.config.Log.WarnContext(ctx, "memif devices are unhealthy", slog.Any("because", reason))
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

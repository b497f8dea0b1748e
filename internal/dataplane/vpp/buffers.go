// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"
	"log/slog"
)

// portBuffers is what a port needs to take packets at all: VPP takes a frame of them
// at once from an interface (VLIB_FRAME_SIZE).
const portBuffers = 256

// buffers are those that a port needs. VPP fills the rings that a tap of its own takes
// packets from.
func (p *port) buffers() int {
	if p.tap != nil {
		return max(portBuffers, p.tap.ring*p.tap.Queues)
	}
	return portBuffers
}

// haveRoom refuses ports that VPP has no buffers for, before anything is made. Where
// VPP does not tell how many it has, they are taken to be enough.
func (s *session) haveRoom(ctx context.Context, ports []*port) error {
	if len(ports) == 0 || s.config.StatsSocket == "" {
		return nil
	}
	pools, err := s.stats.Buffers(ctx)
	if err != nil {
		s.log.DebugContext(ctx, "VPP does not tell of its buffers", slog.Any("error", err))
		return nil
	}
	var free, total uint64
	for _, p := range pools {
		free += p.Free()
		total += p.Total()
	}
	needed := uint64(0)
	for _, p := range ports {
		needed += uint64(p.buffers()) //nolint:gosec // it is positive
	}
	if free < needed {
		return fmt.Errorf("VPP has %d buffers free of %d, and %d more interfaces need %d: raise buffers-per-numa in section buffers of its startup.conf",
			free, total, len(ports), needed)
	}
	return nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// Memifs implements dataplane.Memifs.
func (d *Driver) Memifs(ctx context.Context) (map[desired.Key]model.MemifStatus, error) {
	list, err := d.config.Relay.ListMemifs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the relay's memifs: %w", away(err))
	}
	found := make(map[desired.Key]model.MemifStatus, len(list))
	for _, m := range list {
		if owner, port, ok := parsePortID(m.ID); ok && m.Attached {
			found[desired.Key{Owner: owner, Kind: desired.KindMemif, Name: port}] = memifStatus(m)
		}
	}
	return found, nil
}

func memifStatus(m relayapi.MemifState) model.MemifStatus {
	s := model.MemifStatus{
		RxPackets: m.RxPackets, RxBytes: m.RxBytes, RxErrors: m.RxErrors, RxDrops: m.RxDrops, RxDenied: m.RxDenied,
		TxPackets: m.TxPackets, TxBytes: m.TxBytes, TxErrors: m.TxErrors, TxDrops: m.TxDrops,
		Connects: m.Connects, Ends: m.Ends, LastEnd: m.LastEnd, Refused: m.Refused, LastRefused: m.LastRefused,
	}
	if a := m.Application; a != nil {
		s.Application = &model.MemifApplication{
			PID: a.PID, UID: a.UID, GID: a.GID, Name: a.Name, Interface: a.Interface,
			RxQueues: a.RxQueues, TxQueues: a.TxQueues, RingSize: a.RingSize,
		}
	}
	return s
}

// refused tells of a process that the relay did not connect, or cut off. It says so
// once for each process and reason, and counts the rest.
func (d *Driver) refused(e relayapi.Event) {
	owner, port, _ := parsePortID(e.ID)
	d.log.Warn("an application was refused at a memif",
		slog.String("sandbox", owner.String()), slog.String("interface", port), slog.String("reason", e.Reason))
}

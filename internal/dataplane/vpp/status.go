// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"log/slog"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppstats"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Memifs implements dataplane.Memifs. VPP tells of an application that it is there,
// and not which; packets count since VPP has the interface.
func (d *Driver) Memifs(ctx context.Context) (map[desired.Key]model.MemifStatus, error) {
	v, counters, err := d.counted(ctx)
	if err != nil {
		return nil, err
	}
	found := map[desired.Key]model.MemifStatus{}
	for _, i := range v.ifs {
		owner, port, isPort := parseTag(i.tag)
		if !isPort || !i.isMemif || i.socket == d.tapSocket() {
			continue
		}
		c := counters[uint32(i.index)]
		status := model.MemifStatus{
			RxPackets: c.Rx.Packets, RxBytes: c.Rx.Bytes, RxErrors: c.RxErrors, RxDrops: c.Drops,
			TxPackets: c.Tx.Packets, TxBytes: c.Tx.Bytes, TxErrors: c.TxErrors,
		}
		if i.linked {
			status.Application = &model.MemifApplication{}
		}
		found[desired.Key{Owner: owner, Kind: desired.KindMemif, Name: port}] = status
	}
	return found, nil
}

// Counters implements dataplane.Counters. A tap that the relay holds is a memif here.
func (d *Driver) Counters(ctx context.Context) (map[desired.Key]model.Counters, error) {
	v, counters, err := d.counted(ctx)
	if err != nil || counters == nil {
		return nil, err
	}
	found := map[desired.Key]model.Counters{}
	for _, i := range v.ifs {
		owner, port, isPort := parseTag(i.tag)
		key := desired.Key{Owner: owner, Kind: desired.KindVeth, Name: port}
		switch {
		case !isPort, i.isMemif && i.socket != d.tapSocket():
			continue
		case i.isMemif, i.tap != nil:
			key.Kind = desired.KindTap
		}
		c := counters[uint32(i.index)]
		found[key] = model.Counters{
			RxPackets: c.Rx.Packets, RxBytes: c.Rx.Bytes, RxErrors: c.RxErrors, RxDrops: c.Drops,
			TxPackets: c.Tx.Packets, TxBytes: c.Tx.Bytes, TxErrors: c.TxErrors,
		}
	}
	return found, nil
}

// counted reads VPP's interfaces, and what passed through each; nil where VPP does not
// tell.
func (d *Driver) counted(ctx context.Context) (*view, map[uint32]vppstats.Counters, error) {
	k, err := d.vpp(ctx)
	if err != nil {
		return nil, nil, err
	}
	v, err := readInterfaces(ctx, k.conn)
	if err != nil {
		return nil, nil, err
	}
	counters, err := d.stats.Interfaces(ctx)
	if err != nil {
		d.log.DebugContext(ctx, "VPP does not tell of its counters", slog.Any("error", err))
	}
	return v, counters, nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Memifs implements dataplane.Memifs. VPP tells of an application that it is there,
// and not which.
func (d *Driver) Memifs(ctx context.Context) (map[desired.Key]model.MemifStatus, error) {
	k, err := d.vpp(ctx)
	if err != nil {
		return nil, err
	}
	v, err := readInterfaces(ctx, k.conn)
	if err != nil {
		return nil, err
	}
	found := map[desired.Key]model.MemifStatus{}
	for _, i := range v.ifs {
		owner, port, isPort := parseTag(i.tag)
		if !isPort || !i.isMemif || i.socket == d.tapSocket() {
			continue
		}
		var status model.MemifStatus
		if i.linked {
			status.Application = &model.MemifApplication{}
		}
		found[desired.Key{Owner: owner, Kind: desired.KindMemif, Name: port}] = status
	}
	return found, nil
}

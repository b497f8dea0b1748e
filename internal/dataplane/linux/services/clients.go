// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"fmt"
	"net/netip"

	"sigs.k8s.io/knftables"
)

// left is a map of the clients of backends at one port, and backends that left.
type left struct {
	kept string
	port uint16
	gone map[netip.AddrPort]bool
}

// forgetClients has clients that were held to backends which are gone choose anew.
// None is noted for these any more.
func (t *Table) forgetClients(ctx context.Context, all []left) error {
	for _, l := range all {
		if err := t.forgetClientsOf(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) forgetClientsOf(ctx context.Context, l left) error {
	const attempts = 3 // an element may end by itself after it was listed
	for attempt := 1; ; attempt++ {
		elements, err := t.nft.ListElements(ctx, "map", l.kept)
		if err != nil {
			return fmt.Errorf("clients of %s: %w", l.kept, err)
		}
		tx := t.nft.NewTransaction()
		for _, e := range elements {
			backend, err := netip.ParseAddr(key(e.Value...))
			if err == nil && l.gone[netip.AddrPortFrom(backend, l.port)] {
				tx.Delete(&knftables.Element{Map: l.kept, Key: e.Key})
			}
		}
		if err = t.run(ctx, tx); err == nil || attempt == attempts {
			return err
		}
	}
}

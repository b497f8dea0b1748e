// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

var _ dataplane.Counters = (*Driver)(nil)

// Counters implements dataplane.Counters: what the kernel has counted at the switch's
// ends. A memif's twin is a tap there, of a name that no tap has.
func (d *Driver) Counters(context.Context) (map[desired.Key]model.Counters, error) {
	found := map[desired.Key]model.Counters{}
	for _, s := range d.spaces() {
		if exists, err := s.exists(d.node); err != nil || !exists {
			continue // what is not there has no ports
		}
		links, err := s.socket.Links()
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", s.network, err)
		}
		counted, err := s.socket.Statistics()
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", s.network, err)
		}
		for _, l := range links {
			owner, port, isOurs := parseAlias(l.Alias)
			if !isOurs || l.Group == leavingGroup {
				continue
			}
			kind := desired.KindVeth
			if l.Kind == tapKind {
				kind = desired.KindTap
			}
			found[desired.Key{Owner: owner, Kind: kind, Name: port}] = counted[l.Index]
		}
	}
	return found, nil
}

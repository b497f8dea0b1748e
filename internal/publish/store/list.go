// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxCompares is how many comparisons etcd takes at once.
	maxCompares = 128
	// page is how many records are asked for at once; where these are too large, fewer by
	// that factor.
	page, fewer = 500, 8
)

// Holding is what a record says: an owner, and the keys that are its.
type Holding struct {
	Owner Owner
	Label string
	Keys  []string
	// Broken is why the record cannot be read, if so; then it says no owner and no
	// keys.
	Broken error
}

// Owned lists what the records say: of pods, all of a node; of
// CustomConfigurations, whose node is empty, all. A record that cannot be read is
// among them, for it may be anybody's. A record's key is its label's, whose nobody can
// tell, so all are read, and only these kept. The revision is the one at which that
// was so. Errors are ErrAway, ErrForbidden, ErrTooLarge (of one record alone) and ctx's.
func (s *Store) Owned(ctx context.Context, kind Kind, node string) ([]Holding, int64, error) {
	var own []Holding
	revision, from, limit := int64(0), recordRoot, int64(page)
	for {
		response, err := s.get(ctx, "list the records", from,
			clientv3.WithRange(clientv3.GetPrefixRangeEnd(recordRoot)), clientv3.WithLimit(limit), clientv3.WithRev(revision))
		if errors.Is(err, ErrTooLarge) && limit > 1 {
			limit = max(limit/fewer, 1)
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = response.Header.Revision // the other pages are of the same one
		}
		for _, r := range recordsIn(response.Kvs) {
			h := Holding{r.owner, r.label, r.keys, r.broken}
			if h.Broken != nil {
				h.Owner, h.Keys = Owner{}, nil
			}
			if h.Broken != nil || h.Owner.Kind == kind && h.Owner.Node == node {
				own = append(own, h)
			}
			from = r.key + "\x00"
		}
		if !response.More {
			return own, revision, nil
		}
	}
}

// Unchanged reports whether every record is as it was marked: where etcd lost its
// data, or has older ones, it is not. It costs one request for each 128, which
// reads nothing.
func (s *Store) Unchanged(ctx context.Context, marks []Mark) (bool, error) {
	for some := range slices.Chunk(marks, maxCompares) {
		var t transaction
		for _, m := range some {
			t.compares = append(t.compares, at(m.key, m.revision))
		}
		response, err := s.commit(ctx, "look at the records", t)
		if err != nil || !response.Succeeded {
			return false, err
		}
	}
	return true, nil
}

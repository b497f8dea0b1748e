// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps, in etcd, what owners claim under the label of a pod's own
// agent, and a record of who they are. It knows ownership and transactions; it
// tries nothing twice that failed, and starts nothing.
//
// The agent in the pod reads the items under ConfigPrefix, byte for byte as they
// were claimed. The record of an owner is outside, where no agent looks:
//
//	/polynic/v1/published/LABEL/pod                     of the label's pod
//	/polynic/v1/published/LABEL/custom/NAMESPACE/NAME   of a CustomConfiguration
//
// It holds the owner and the keys, no value. Every write is a transaction that
// compares first, so that two writers never leave a mixture: either a claim is
// written whole, with its record, or nothing is. A claim that is larger than etcd
// takes at once is written in several, of which the first has the record.
package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Store is safe for concurrent use, also by several processes.
type Store struct {
	kv        clientv3.KV
	watch     clientv3.Watcher
	endpoints func() []string
}

// New makes a store in an etcd. The client stays the caller's to close; Dial
// makes one that tells soon and precisely why etcd is not reached.
func New(client *clientv3.Client) *Store {
	return &Store{kv: client, watch: client, endpoints: client.Endpoints}
}

// Written is what became of a claim.
type Written struct {
	// Mark is the record as it is now.
	Mark Mark
	// Revision is etcd's when what needed no writing was as it should be: no change
	// by others that is earlier was missed. What was written is later, with the
	// values of the claim, unless nothing had been there.
	Revision int64
	// Changed reports whether anything had to be written.
	Changed bool
	// Adopted are keys that were there without a record, with the very bytes;
	// Replaced those with others, which an earlier system left.
	Adopted, Replaced []string
	// Evicted are owners that exist no more and whose keys were removed or replaced.
	Evicted []Owner
	// Left are keys that were not written because a CustomConfiguration has them,
	// which goes before what a pod would get.
	Left []Left
}

// Left is a key that belongs to another owner.
type Left struct {
	Key   string
	Owner Owner
}

// Mark is a record at one state.
type Mark struct {
	key      string
	revision int64
}

// Drift is how etcd differs from a claim.
type Drift struct {
	// Missing and Altered are keys of the claim; a key that was Left is neither.
	Missing, Altered []string
	// Unrecorded is set where the record is missing, or another one.
	Unrecorded bool
}

// None reports whether etcd is as claimed.
func (d Drift) None() bool { return len(d.Missing)+len(d.Altered) == 0 && !d.Unrecorded }

// Put makes etcd as claimed, for a claim that is probably new: where nothing of
// it is there yet, that is one transaction and no look before. What the owner, or
// an earlier sandbox of the same pod, had and claims no more is removed. Keys of
// another owner that is alive are not touched: *TakenError; what a dead one had
// is. Other errors are ErrAway, ErrFull, ErrForbidden, ErrTooLarge, ErrInvalid, ErrUnsure
// and ctx's.
func (s *Store) Put(ctx context.Context, c Claim, alive Alive) (Written, error) {
	if err := c.check(); err != nil {
		return Written{}, err
	}
	return s.put(ctx, c, alive, &view{})
}

// Mend is Put for a claim that is probably there: it looks first, and where
// nothing has to be written, nothing is.
func (s *Store) Mend(ctx context.Context, c Claim, alive Alive) (Written, error) {
	if err := c.check(); err != nil {
		return Written{}, err
	}
	v, err := s.read(ctx, c.Label)
	if err != nil {
		return Written{}, err
	}
	return s.put(ctx, c, alive, v)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

var errTodo = errors.New("not yet")

type view struct{}

func (s *Store) read(ctx context.Context, label string) (*view, error) { return nil, errTodo }

func (s *Store) put(ctx context.Context, c Claim, alive Alive, v *view) (Written, error) {
	return Written{}, errTodo
}

// Drop removes what an owner has under a label, and its record. What belongs to
// another owner by now, another sandbox of the same pod among them, stays; that
// there is nothing is no error. Errors are ErrAway and ctx's.
func (s *Store) Drop(ctx context.Context, label string, o Owner) error { return errTodo }

// Check tells how etcd differs from a claim, and changes nothing.
func (s *Store) Check(ctx context.Context, c Claim) (Drift, error) { return Drift{}, errTodo }

// Holding is a record: an owner and the keys that are its.
type Holding struct {
	Owner Owner
	Label string
	Keys  []string
}

// Owned lists what the records say: all of a kind that are of a node; of
// CustomConfigurations, whose node is empty, all. The revision is the one at which
// that was so.
func (s *Store) Owned(ctx context.Context, kind Kind, node string) ([]Holding, int64, error) {
	return nil, 0, errTodo
}

// All lists every record.
func (s *Store) All(ctx context.Context) ([]Holding, int64, error) { return nil, 0, errTodo }

// Unchanged reports whether every record is as it was marked, by one request for
// each 128 that reads nothing: where etcd lost its data, or got older ones, it is
// not.
func (s *Store) Unchanged(ctx context.Context, marks []Mark) (bool, error) { return false, errTodo }

// Change is of one key: its value now, nil where it was deleted.
type Change struct {
	Key      string
	Value    []byte
	Revision int64
}

// Watch tells of every change of a label's configuration that is later than a
// revision, until ctx ends or it cannot go on, because of compaction or because
// etcd is not reached: then what was missed is to be looked for by Mend. It
// returns why, nil where ctx ended. It calls from its own goroutine, the caller's.
func (s *Store) Watch(ctx context.Context, label string, after int64, tell func(Change)) error {
	return errTodo
}

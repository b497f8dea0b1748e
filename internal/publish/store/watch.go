// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Change is of one key: its value from a revision on, nil where it was deleted.
type Change struct {
	Key      string
	Value    []byte
	Revision int64
}

var errWatchEnded = errors.New("the watch ended")

// Watch tells of every change of a label's configuration that is later than a
// revision. It returns when ctx ends, with nil, or when it cannot go on, because
// etcd has forgotten what came after the revision, or has no leader, with why:
// then Mend finds what was missed. While etcd is not reached it waits. It does not
// notice that etcd lost its data; Unchanged does. tell is called by the caller's
// goroutine.
func (s *Store) Watch(ctx context.Context, label string, after int64, tell func(Change)) error {
	own, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	doing := "watch " + ConfigPrefix(label)
	for response := range s.watch.Watch(own, ConfigPrefix(label), clientv3.WithPrefix(), clientv3.WithRev(after+1)) {
		if err := response.Err(); err != nil && ctx.Err() == nil {
			return s.away(ctx, doing, err)
		}
		for _, e := range response.Events {
			c := Change{Key: string(e.Kv.Key), Revision: e.Kv.ModRevision}
			if e.Type == clientv3.EventTypePut {
				c.Value = append([]byte{}, e.Kv.Value...)
			}
			tell(c)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return s.away(ctx, doing, errWatchEnded)
}

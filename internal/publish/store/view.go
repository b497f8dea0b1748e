// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// view is what etcd has of a label at one revision. The zero view, of before the
// first revision, is that there is nothing.
type view struct {
	revision int64
	records  []record
	items    map[string]value
}

// blind reports whether the view is of before anybody looked.
func (v *view) blind() bool { return v.revision == 0 }

// brokenAt is why the record at a place cannot be read; nil where it can, or is not
// there.
func (v *view) brokenAt(place string) error {
	for _, r := range v.records {
		if r.key == place {
			return r.broken
		}
	}
	return nil
}

// value is a key's value and the revision at which it was written.
type value struct {
	bytes    []byte
	revision int64
}

// read looks at a label, at everything at the same revision.
func (s *Store) read(ctx context.Context, label string) (*view, error) {
	response, err := s.commit(ctx, "look at "+ConfigPrefix(label), transaction{ops: look(label)})
	if err != nil {
		return nil, err
	}
	return viewOf(response), nil
}

// look are the requests that viewOf takes the answers of.
func look(label string) []clientv3.Op {
	return []clientv3.Op{
		clientv3.OpGet(recordsOf(label), clientv3.WithPrefix()),
		clientv3.OpGet(ConfigPrefix(label), clientv3.WithPrefix()),
	}
}

func viewOf(response *clientv3.TxnResponse) *view {
	v := &view{revision: response.Header.Revision, items: map[string]value{}}
	v.records = recordsIn(kvs(response.Responses, 0))
	for _, kv := range kvs(response.Responses, 1) {
		v.items[string(kv.Key)] = value{kv.Value, kv.ModRevision}
	}
	return v
}

func kvs(responses []*etcdserverpb.ResponseOp, n int) []*mvccpb.KeyValue {
	if n >= len(responses) {
		return nil
	}
	return responses[n].GetResponseRange().GetKvs()
}

func recordsIn(list []*mvccpb.KeyValue) []record {
	records := make([]record, len(list))
	for i, kv := range list {
		records[i] = readRecord(string(kv.Key), kv.Value, kv.ModRevision)
	}
	return records
}

// unrecorded compares that no record of the label was written after a revision.
func unrecorded(label string, after int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(recordsOf(label)), "<", after+1).WithPrefix()
}

// unwritten compares that nothing is below the label at all: one comparison
// instead of one for each key.
func unwritten(label string) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(ConfigPrefix(label)), "=", 0).WithPrefix()
}

// at compares that a key was written last at a revision; 0 is that it is not
// there.
func at(key string, revision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/api/podif"
)

// Drop removes what an owner has under a label, and its record. What belongs to
// another owner by now, another sandbox of the same pod among them, stays; that
// there is nothing is no error. Errors are ErrAway, ErrInvalid and ctx's.
func (s *Store) Drop(ctx context.Context, label string, o Owner) error {
	if err := podif.ValidateLabel(label); err != nil {
		return invalid("%v", err)
	}
	doing := "remove what " + o.String() + " has below " + ConfigPrefix(label)
	records := look(label)[:1]
	response, err := s.commit(ctx, doing, transaction{ops: records})
	for tries := 0; tries < maxTries; {
		if err != nil {
			return err
		}
		next, last, err := removal(viewOf(response), label, o)
		if err != nil || len(next.ops) == 0 {
			return err
		}
		next.otherwise = records
		if response, err = s.commit(ctx, doing, next); err != nil {
			return err
		}
		switch {
		case !response.Succeeded:
			tries++
			continue
		case last:
			return nil
		}
		if response, err = s.commit(ctx, doing, transaction{ops: records}); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", doing, errBusy)
}

// removal is what removes keys of an owner, as many as etcd takes at once, and
// with the last the record, by which they are its; nothing where it has none.
func removal(v *view, label string, o Owner) (t transaction, last bool, err error) {
	place := recordKey(label, o)
	i := slices.IndexFunc(v.records, func(r record) bool { return r.key == place && r.broken == nil && r.owner.holds(o) })
	if i < 0 {
		return transaction{}, true, nil
	}
	own := v.records[i]
	keys := slices.DeleteFunc(slices.Clone(own.keys), func(k string) bool {
		return slices.ContainsFunc(v.records, func(r record) bool { return r.key != place && r.has(k) })
	})
	now := keys[:min(len(keys), maxTouched)]
	t.compares = []clientv3.Cmp{unrecorded(label, v.revision), at(place, own.revision)}
	for _, k := range now {
		t.ops = append(t.ops, clientv3.OpDelete(k))
	}
	rest := keys[len(now):]
	if len(rest) == 0 {
		t.ops = append(t.ops, clientv3.OpDelete(place))
		return t, true, nil
	}
	text, err := recordText(own.owner, rest)
	t.ops = append(t.ops, clientv3.OpPut(place, text))
	return t, false, err
}

// Check tells how etcd differs from a claim, and changes nothing. Errors are
// ErrAway, ErrInvalid and ctx's.
func (s *Store) Check(ctx context.Context, c Claim) (Drift, error) {
	if err := c.check(); err != nil {
		return Drift{}, err
	}
	v, err := s.read(ctx, c.Label)
	if err != nil {
		return Drift{}, err
	}
	place := recordKey(c.Label, c.Owner)
	own := slices.IndexFunc(v.records, func(r record) bool { return r.key == place && r.broken == nil && r.owner == c.Owner })
	d := Drift{Unrecorded: own < 0}
	for _, item := range c.Items {
		if slices.ContainsFunc(v.records, func(r record) bool { return r.key != place && r.has(item.Key) }) {
			continue
		}
		has, there := v.items[item.Key]
		switch {
		case !there:
			d.Missing = append(d.Missing, item.Key)
		case !bytes.Equal(has.bytes, item.Value):
			d.Altered = append(d.Altered, item.Key)
		case own >= 0 && !v.records[own].has(item.Key):
			d.Unrecorded = true
		}
	}
	return d, nil
}

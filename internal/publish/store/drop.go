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
	"github.com/polynic/polynic/internal/publish/ligato"
)

// Drop removes what an owner has under a label, and its record. What belongs to
// another owner by now, another sandbox of the same pod among them, stays; that
// there is nothing is no error. Where the record cannot be read, the known items, which
// the owner claimed, go all the same if they are as it claimed them; the record stays,
// and the error, ErrInvalid, names it. Other errors are ErrAway and ctx's.
func (s *Store) Drop(ctx context.Context, label string, o Owner, known ...ligato.Item) error {
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
		v := viewOf(response)
		if v.brokenAt(recordKey(label, o)) != nil {
			return s.dropKnown(ctx, doing, Claim{o, label, known})
		}
		next, last, err := removal(v, label, o)
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

// dropKnown removes of a claim what nobody else can have written, and then says why
// its record cannot be read.
func (s *Store) dropKnown(ctx context.Context, doing string, c Claim) error {
	for tries := 0; tries < maxTries; {
		v, err := s.read(ctx, c.Label)
		if err != nil {
			return err
		}
		broken := v.brokenAt(recordKey(c.Label, c.Owner))
		t := transaction{compares: []clientv3.Cmp{unrecorded(c.Label, v.revision)}}
		for _, item := range c.Items {
			has, there := v.items[item.Key]
			if !there || !bytes.Equal(has.bytes, item.Value) || len(t.ops) == maxTouched ||
				slices.ContainsFunc(v.records, func(r record) bool { return r.has(item.Key) }) {
				continue
			}
			t.compares, t.ops = append(t.compares, at(item.Key, has.revision)), append(t.ops, clientv3.OpDelete(item.Key))
		}
		switch {
		case broken == nil: // somebody mended it, or removed it
			return s.Drop(ctx, c.Label, c.Owner, c.Items...)
		case len(t.ops) == 0:
			return fmt.Errorf("%s: %w", doing, broken)
		}
		response, err := s.commit(ctx, doing, t)
		if err != nil {
			return err
		}
		if !response.Succeeded {
			tries++
		}
	}
	return fmt.Errorf("%s: %w", doing, errBusy)
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

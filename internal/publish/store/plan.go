// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// What etcd takes at once, as its server is set by default: 128 operations and as
// many comparisons, and 1.5 MiB in all. Each step leaves room for two records, and
// for what a request has beside keys and values.
const (
	maxTouched = 124
	maxStep    = 5 << 18 // bytes
	maxRecord  = 1 << 18
	maxValue   = 1 << 20
	perTouched = 64 // bytes
)

// plan is what a claim needs where a view is how things are.
type plan struct {
	claim Claim
	view  *view
	own   *record // the claim's own record, or that of an earlier sandbox
	dead  []record
	// others are the records of those who live.
	others []record
	// left are keys of the claim that others have.
	left []Left
}

// touched is a key that is written, removed, or only compared.
type touched struct {
	key      string
	revision int64
	op       *clientv3.Op
	size     int // bytes
	// adopted and replaced are as in Written.
	adopted, replaced bool
}

// judge finds who has what the claim wants.
func judge(ctx context.Context, c Claim, v *view, alive Alive) (*plan, error) {
	p := &plan{claim: c, view: v}
	place := recordKey(c.Label, c.Owner)
	for _, r := range v.records {
		shared := c.firstOf(r)
		switch {
		case r.broken != nil && r.key == place:
			return nil, r.broken
		case r.broken != nil:
			p.others = append(p.others, r)
		case r.key == place && r.owner.same(c.Owner):
			p.own = &r
		case c.Owner.Kind == Pod && r.owner.Kind == Custom:
			p.leave(r)
		case r.key != place && shared == "":
			p.others = append(p.others, r)
		case r.owner.Kind == Custom:
			return nil, &TakenError{Label: c.Label, Key: shared, By: c.Owner, Owner: r.owner}
		default:
			if r.key == place {
				shared = "" // the label is at issue
			}
			if err := p.evict(ctx, r, shared, alive); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// leave leaves to a CustomConfiguration what it has.
func (p *plan) leave(r record) {
	p.others = append(p.others, r)
	for _, item := range p.claim.Items {
		if r.has(item.Key) {
			p.left = append(p.left, Left{item.Key, r.owner})
		}
	}
}

// evict takes what a pod has, if that is gone.
func (p *plan) evict(ctx context.Context, r record, shared string, alive Alive) error {
	lives, err := alive(ctx, r.owner)
	switch {
	case err != nil:
		return fmt.Errorf("the microservice label %q is that of %s, and %w: %w", p.claim.Label, r.owner, ErrUnsure, err)
	case lives:
		return &TakenError{Label: p.claim.Label, Key: shared, By: p.claim.Owner, Owner: r.owner}
	}
	p.dead = append(p.dead, r)
	return nil
}

// firstOf is the first key of the claim that a record has too.
func (c Claim) firstOf(r record) string {
	for _, item := range c.Items {
		if r.has(item.Key) {
			return item.Key
		}
	}
	return ""
}

// step is one transaction of a plan.
type step struct {
	transaction
	touched []touched
	// recorded is set where it writes the claim's record, last where nothing is left
	// to do after it.
	recorded, last bool
}

// next is what to do, or as much of it as etcd takes at once; none where all is as
// claimed.
func (p *plan) next() (*step, error) {
	all := p.touches()
	s := &step{last: true}
	keys := p.keys()
	text, err := recordText(p.claim.Owner, keys)
	if err != nil {
		return nil, err
	}
	if n := fitting(all, len(text)); n < len(all) {
		// What is not done yet must stay known: the next step, which may be
		// somebody else's, begins with this record.
		keys = p.everything(keys)
		if text, err = recordText(p.claim.Owner, keys); err != nil {
			return nil, err
		}
		all, s.last = all[:fitting(all, len(text))], false
	}
	if len(text) > maxRecord {
		return nil, fmt.Errorf("%s: %w: the record of its %d keys has %d bytes, more than %d; divide it", p.claim.Owner, ErrTooLarge, len(keys), len(text), maxRecord)
	}
	// A repair writes the record too, as it was: who looked before it, and takes over what
	// was there then, has to look again.
	s.recorded = p.own == nil || p.own.owner != p.claim.Owner || !slices.Equal(p.own.keys, keys) || len(all) > 0
	if !s.recorded && len(p.dead) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to do, and that is no error
	}
	s.touched = all
	p.build(s, text)
	return s, nil
}

// build writes the transaction of a step.
func (p *plan) build(s *step, record string) {
	place := recordKey(p.claim.Label, p.claim.Owner)
	s.otherwise = look(p.claim.Label)
	s.compares = []clientv3.Cmp{unrecorded(p.claim.Label, p.view.revision)}
	if s.recorded {
		s.ops = append(s.ops, clientv3.OpPut(place, record))
	}
	if p.own != nil {
		// Keys that are as they should be are not compared: with their record they go.
		s.compares = append(s.compares, at(place, p.own.revision))
	}
	for _, r := range p.dead {
		if r.key != place {
			s.ops = append(s.ops, clientv3.OpDelete(r.key))
		}
	}
	if p.view.blind() {
		s.compares = append(s.compares, unwritten(p.claim.Label))
	}
	for _, t := range s.touched {
		if !p.view.blind() {
			s.compares = append(s.compares, at(t.key, t.revision))
		}
		if t.op != nil {
			s.ops = append(s.ops, *t.op)
		}
	}
}

// fitting is how many fit into one step, beside a record of that length.
func fitting(all []touched, size int) int {
	for i, t := range all {
		if size += t.size; i > 0 && size > maxStep || i == maxTouched {
			return i
		}
	}
	return len(all)
}

// touches lists what has to be done to items.
func (p *plan) touches() []touched {
	var all []touched
	wanted := map[string]bool{}
	left := map[string]bool{}
	for _, l := range p.left {
		left[l.Key] = true
	}
	for _, item := range p.claim.Items {
		wanted[item.Key] = true
		if left[item.Key] {
			continue
		}
		has, there := p.view.items[item.Key]
		t := touched{key: item.Key, revision: has.revision, size: 2*len(item.Key) + perTouched}
		switch {
		case there && bytes.Equal(has.bytes, item.Value):
			if p.own != nil && p.own.has(item.Key) {
				continue
			}
			t.adopted = !p.recorded(item.Key)
		default:
			op := clientv3.OpPut(item.Key, string(item.Value))
			t.op, t.size = &op, t.size+len(item.Value)
			t.replaced = there && !p.recorded(item.Key)
		}
		all = append(all, t)
	}
	for _, key := range p.everything(nil) {
		has, there := p.view.items[key]
		if !there || wanted[key] || p.held(key) {
			continue
		}
		op := clientv3.OpDelete(key)
		all = append(all, touched{key: key, revision: has.revision, op: &op, size: 2*len(key) + perTouched})
	}
	return all
}

// recorded reports whether a key was known to be the owner's, or a dead one's.
func (p *plan) recorded(key string) bool {
	return p.own != nil && p.own.has(key) || slices.ContainsFunc(p.dead, func(r record) bool { return r.has(key) })
}

// held reports whether a key is another owner's.
func (p *plan) held(key string) bool {
	return slices.ContainsFunc(p.others, func(r record) bool { return r.has(key) })
}

// keys are those that the owner is to have, in order.
func (p *plan) keys() []string {
	keys := map[string]bool{}
	for _, item := range p.claim.Items {
		keys[item.Key] = true
	}
	for _, l := range p.left {
		delete(keys, l.Key)
	}
	return sorted(keys)
}

// everything is more keys, and those that the owner and the dead had, in order.
func (p *plan) everything(more []string) []string {
	keys := map[string]bool{}
	for _, k := range more {
		keys[k] = true
	}
	for _, r := range p.dead {
		for _, k := range r.keys {
			keys[k] = true
		}
	}
	if p.own != nil {
		for _, k := range p.own.keys {
			keys[k] = true
		}
	}
	return sorted(keys)
}

func sorted(set map[string]bool) []string {
	return slices.AppendSeq(make([]string, 0, len(set)), slices.Values(slices.Sorted(maps.Keys(set))))
}

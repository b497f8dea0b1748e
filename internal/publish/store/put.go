// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/api/podif"
)

// maxTries bounds how often a claim is tried again because others wrote under the
// label meanwhile.
const maxTries = 16

// put makes etcd as claimed by a claim that was checked, beginning with a view of
// what there is.
func (s *Store) put(ctx context.Context, c Claim, alive Alive, v *view) (Written, error) {
	var all Written
	alive = remembered(alive)
	for tries := 0; tries < maxTries; {
		p, err := judge(ctx, c, v, alive)
		if err != nil {
			return Written{}, err
		}
		next, err := p.next()
		if err != nil {
			return Written{}, err
		}
		if next == nil {
			return all.done(p, v.revision, p.own.revision), nil
		}
		response, err := s.commit(ctx, "publish "+ConfigPrefix(c.Label), next.transaction)
		if err != nil {
			return Written{}, err
		}
		if !response.Succeeded {
			tries, v = tries+1, viewOf(response)
			continue
		}
		all.add(p, next)
		if next.last {
			recorded := response.Header.Revision
			if !next.recorded {
				recorded = p.own.revision
			}
			return all.done(p, asClaimed(v, response), recorded), nil
		}
		if v, err = s.read(ctx, c.Label); err != nil {
			return Written{}, err
		}
	}
	return Written{}, fmt.Errorf("publish %s: %w", ConfigPrefix(c.Label), errBusy)
}

// asClaimed is the revision from which on others' changes are to be heard, after
// the last step: the one that was looked at, because what needed no writing was
// not compared. Without a look everything was written.
func asClaimed(v *view, response *clientv3.TxnResponse) int64 {
	if v.blind() {
		return response.Header.Revision
	}
	return v.revision
}

// check refuses what etcd would not take, or what is no claim to the label.
func (c Claim) check() error {
	if err := podif.ValidateLabel(c.Label); err != nil {
		return invalid("%v", err)
	}
	if c.Owner.Name == "" || strings.Contains(c.Owner.Namespace+c.Owner.Name, "/") {
		return invalid("the owner's name %q cannot be part of a key in etcd", c.Owner.Namespace+"/"+c.Owner.Name)
	}
	seen := map[string]bool{}
	for _, item := range c.Items {
		if rest, ours := strings.CutPrefix(item.Key, ConfigPrefix(c.Label)); !ours || rest == "" {
			return invalid("item %s is not below %s", item.Key, ConfigPrefix(c.Label))
		}
		if seen[item.Key] {
			return invalid("item %s is there twice", item.Key)
		}
		seen[item.Key] = true
		if len(item.Value) > maxValue {
			return &TooLargeError{Key: item.Key, Size: len(item.Value), Limit: maxValue}
		}
	}
	return nil
}

// remembered asks about each owner once. What is not known is asked for again.
func remembered(alive Alive) Alive {
	known := map[Owner]bool{}
	return func(ctx context.Context, o Owner) (bool, error) {
		if lives, is := known[o]; is {
			return lives, nil
		}
		if alive == nil {
			return false, errNobody
		}
		lives, err := alive(ctx, o)
		if err == nil {
			known[o] = lives
		}
		return lives, err
	}
}

var errNobody = errors.New("there is nobody to ask")

// add takes a step that was made.
func (w *Written) add(p *plan, s *step) {
	w.Changed = true
	for _, t := range s.touched {
		switch {
		case t.adopted:
			w.Adopted = append(w.Adopted, t.key)
		case t.replaced:
			w.Replaced = append(w.Replaced, t.key)
		}
	}
	for _, r := range p.dead {
		w.Evicted = append(w.Evicted, r.owner)
	}
}

// done is the end, at a revision; the record was written at one of its own.
func (w *Written) done(p *plan, revision, recorded int64) Written {
	w.Revision, w.Left = revision, p.left
	w.Mark = Mark{recordKey(p.claim.Label, p.claim.Owner), recorded}
	return *w
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"slices"

	"github.com/polynic/polynic/internal/desired"
)

// queue is a FIFO of owners in which each stands once.
type queue struct {
	order []desired.Owner
	in    map[desired.Owner]bool
}

func (q *queue) add(owner desired.Owner) {
	if q.in[owner] {
		return
	}
	if q.in == nil {
		q.in = map[desired.Owner]bool{}
	}
	q.in[owner] = true
	q.order = append(q.order, owner)
}

func (q *queue) remove(owner desired.Owner) {
	if q.in[owner] {
		q.take(1, func(o desired.Owner) bool { return o == owner })
	}
}

func (q *queue) any(ready func(desired.Owner) bool) bool {
	return slices.ContainsFunc(q.order, ready)
}

// take removes and returns up to limit owners that are ready, in order; the
// others keep their places.
func (q *queue) take(limit int, ready func(desired.Owner) bool) []desired.Owner {
	var taken []desired.Owner
	rest := q.order[:0]
	for _, owner := range q.order {
		if len(taken) < limit && ready(owner) {
			taken = append(taken, owner)
			delete(q.in, owner)
		} else {
			rest = append(rest, owner)
		}
	}
	clear(q.order[len(rest):])
	q.order = rest
	return taken
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"encoding/json"
	"iter"
	"maps"
	"slices"

	"github.com/polynic/polynic/internal/model"
)

// live is what the file would hold without its dead records.
type live struct {
	attachments *index[model.AttachmentID]
	allocations *index[string]
}

func newLive() live {
	return live{attachments: newIndex[model.AttachmentID](), allocations: newIndex[string]()}
}

// records goes through the records of what is live.
func (l live) records() iter.Seq[record] {
	return func(yield func(record) bool) {
		for _, text := range l.attachments.ordered() {
			if !yield(record{Op: opPut, Attachment: text}) {
				return
			}
		}
		for _, text := range l.allocations.ordered() {
			if !yield(record{Op: opAllocate, Allocation: text}) {
				return
			}
		}
	}
}

// index holds the live ones of one kind as they are written, in the order in
// which they were first put, which is the order in which addresses or devices
// were given.
type index[ID comparable] struct {
	live map[ID]entry
	next uint64
}

type entry struct {
	born uint64
	text json.RawMessage
}

func newIndex[ID comparable]() *index[ID] { return &index[ID]{live: map[ID]entry{}} }

func (x *index[ID]) put(id ID, text json.RawMessage) {
	born := x.next
	if old, ok := x.live[id]; ok {
		born = old.born
	} else {
		x.next++
	}
	x.live[id] = entry{born: born, text: text}
}

func (x *index[ID]) has(id ID) bool {
	_, ok := x.live[id]
	return ok
}

func (x *index[ID]) remove(id ID) { delete(x.live, id) }

// ordered goes through the live ones, the oldest first.
func (x *index[ID]) ordered() iter.Seq2[ID, json.RawMessage] {
	ids := slices.SortedFunc(maps.Keys(x.live), func(a, b ID) int {
		return cmp.Compare(x.live[a].born, x.live[b].born)
	})
	return func(yield func(ID, json.RawMessage) bool) {
		for _, id := range ids {
			if !yield(id, x.live[id].text) {
				return
			}
		}
	}
}

// listed gives what the index names in the index's order.
func listed[ID comparable, V any](x *index[ID], values map[ID]V) []V {
	list := make([]V, 0, len(values))
	for id := range x.ordered() {
		list = append(list, values[id])
	}
	return list
}

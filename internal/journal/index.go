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

// index holds the live attachments as they are written, in the order in which
// they were first put, which is the order in which their addresses were given.
type index struct {
	live map[model.AttachmentID]entry
	next uint64
}

type entry struct {
	born uint64
	text json.RawMessage
}

func newIndex() *index { return &index{live: map[model.AttachmentID]entry{}} }

func (x *index) put(id model.AttachmentID, text json.RawMessage) {
	born := x.next
	if old, ok := x.live[id]; ok {
		born = old.born
	} else {
		x.next++
	}
	x.live[id] = entry{born: born, text: text}
}

func (x *index) has(id model.AttachmentID) bool {
	_, ok := x.live[id]
	return ok
}

func (x *index) remove(id model.AttachmentID) { delete(x.live, id) }

// ordered goes through the live attachments, the oldest first.
func (x *index) ordered() iter.Seq2[model.AttachmentID, json.RawMessage] {
	ids := slices.SortedFunc(maps.Keys(x.live), func(a, b model.AttachmentID) int {
		return cmp.Compare(x.live[a].born, x.live[b].born)
	})
	return func(yield func(model.AttachmentID, json.RawMessage) bool) {
		for _, id := range ids {
			if !yield(id, x.live[id].text) {
				return
			}
		}
	}
}

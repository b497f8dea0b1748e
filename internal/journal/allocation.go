// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"fmt"

	"github.com/polynic/polynic/internal/model"
)

func decodeAllocation(text json.RawMessage) (model.MemifAllocation, bool) {
	a, err := model.ReadMemifAllocation(text)
	return a, err == nil
}

// reveal gives the memif interfaces of attachments the secrets of their
// allocations, which are written once. One whose allocation was lost has none.
func (c *contents) reveal(attachments []model.Attachment) {
	for _, a := range attachments {
		for _, i := range a.Interfaces {
			if i.Memif != nil {
				i.Memif.Secret = c.allocations[i.Memif.Allocation].Secret
			}
		}
	}
}

// Allocations gives the allocations that Open found, in the order in which they
// were first put. They outlive a reboot.
func (j *Journal) Allocations() []model.MemifAllocation { return j.allocations }

// PutAllocation records the allocation, in place of one with the same id, and
// has it on the disk when it returns (fsync, some milliseconds). When it
// returns an error the allocation is not recorded.
func (j *Journal) PutAllocation(a model.MemifAllocation) error {
	if a.ID == "" {
		return fmt.Errorf("journal %s: an allocation without id", j.path)
	}
	text, err := a.Written()
	if err != nil {
		return fmt.Errorf("journal %s: allocation %s: %w", j.path, a.ID, err)
	}
	if len(text) > maxText {
		return fmt.Errorf("journal %s: allocation %s: %d bytes, more than %d (ask for fewer devices)",
			j.path, a.ID, len(text), maxText)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(record{Op: opAllocate, Allocation: text}); err != nil {
		return fmt.Errorf("journal %s: allocation %s: %w", j.path, a.ID, err)
	}
	if err := j.file.out.Sync(); err != nil {
		j.owed = append(j.owed, record{Op: opFree, Freed: a.ID})
		return fmt.Errorf("journal %s: allocation %s: %w", j.path, a.ID, cause(err))
	}
	j.live.allocations.put(a.ID, text)
	return nil
}

// DeleteAllocation records that the allocation is needed no more; one that is
// not there is no error. Errors are as with Delete. There is no fsync: after a
// crash of the machine the allocation may be there again.
func (j *Journal) DeleteAllocation(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.live.allocations.has(id) {
		return nil
	}
	gone := record{Op: opFree, Freed: id}
	err := j.append(gone)
	j.live.allocations.remove(id)
	if err != nil {
		j.owed = append(j.owed, gone)
		return fmt.Errorf("journal %s: deletion of allocation %s: %w", j.path, id, err)
	}
	return nil
}

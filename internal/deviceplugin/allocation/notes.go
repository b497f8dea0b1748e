// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// notes are the journal's allocations once more, beside their folders: a file
// each, for root alone, that goes with them when the machine starts anew. Where
// the journal was lost they say whose the folders are; what is in these says
// nothing, since containers write there.
type notes string

// newNotes are those of the folders.
func newNotes(dir memifdir.Dir) notes { return notes(dir.Given()) }

func (n notes) path(id string) string { return filepath.Join(string(n), id) }

// put writes a note, or replaces it. It is not synced: nothing here outlives the
// machine.
func (n notes) put(a model.MemifAllocation) error {
	text, err := a.Written()
	if err == nil {
		err = os.MkdirAll(string(n), 0o700)
	}
	draft := n.path("." + a.ID)
	if err == nil {
		err = os.WriteFile(draft, text, 0o600)
	}
	if err == nil {
		err = os.Rename(draft, n.path(a.ID))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("note of the memif allocation: %w", err), n.remove("."+a.ID))
	}
	return nil
}

// remove removes a note; one that is not there is no error.
func (n notes) remove(id string) error {
	if err := os.Remove(n.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note of the memif allocation: %w", err)
	}
	return nil
}

// read gives the allocations in the order in which they were given. Files that are
// no notes are removed.
func (n notes) read() ([]model.MemifAllocation, error) {
	entries, err := os.ReadDir(string(n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("notes of memif allocations: %w", err)
	}
	var all []model.MemifAllocation
	var errs []error
	for _, e := range entries {
		text, err := os.ReadFile(n.path(e.Name()))
		var a model.MemifAllocation
		if err == nil {
			a, err = model.ReadMemifAllocation(text)
		}
		if err != nil || a.ID != e.Name() {
			errs = append(errs, n.remove(e.Name()))
			continue
		}
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b model.MemifAllocation) int {
		return cmp.Or(cmp.Compare(a.Given, b.Given), cmp.Compare(a.ID, b.ID))
	})
	return all, errors.Join(errs...)
}

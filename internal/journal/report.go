// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

// keepAside is how many unusable files are kept; the newest is number 1.
const keepAside = 3

// Report is what Open found.
type Report struct {
	// Rebooted counts the attachments that were dropped because the machine
	// was started anew since they were written: their sandboxes are gone.
	Rebooted int
	// Lost counts the records that are missing, by their numbers, or do not
	// verify.
	Lost int
	// Torn says that the file ends within a record. That is what a kill within
	// a write leaves, and then nobody was told that the record is written; a
	// file that lost its end by damage looks the same.
	Torn bool
	// SetAside is where a file went that was not usable as a whole, and Reason
	// says why it was not; empty and nil where there was none.
	SetAside string
	Reason   error
}

// Complete reports whether nothing is known to be missing. Where it is not,
// there may be attachments that the journal does not know, and it may know
// some that were deleted.
func (r Report) Complete() bool { return r.Lost == 0 && r.SetAside == "" }

func (r Report) log(to *slog.Logger) {
	switch {
	case r.SetAside != "":
		to.Warn("journal set aside, starting with none",
			slog.Any("reason", r.Reason), slog.String("now", r.SetAside))
	case r.Lost > 0:
		to.Warn("journal is damaged, records are missing", slog.Int("lost", r.Lost))
	case r.Torn:
		to.Info("journal ends within a record, which is dropped")
	case r.Rebooted > 0:
		to.Info("machine was restarted, attachments dropped", slog.Int("attachments", r.Rebooted))
	}
}

// setAside renames an unusable file, so that a person can look at it and a new
// one can take its place, and gives its new name.
func setAside(path string) (string, error) {
	name := func(n int) string { return fmt.Sprintf("%s.bad-%d", path, n) }
	for n := keepAside; n > 1; n-- {
		if err := os.Rename(name(n-1), name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return name(1), os.Rename(path, name(1))
}

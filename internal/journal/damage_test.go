// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/model"
)

// change is one line of a journal after its header.
type change struct {
	attachment model.Attachment
	deleted    bool
}

// written gives a journal's bytes, line by line, and the changes in its lines
// from the second on.
func written(t testing.TB) ([][]byte, []change) {
	t.Helper()
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	var changes []change
	for n := 1; n <= 4; n++ {
		put(t, j, attachment(n))
		changes = append(changes, change{attachment: attachment(n)})
	}
	remove(t, j, attachment(2))
	changes = append(changes, change{attachment: attachment(2), deleted: true})
	put(t, j, attachment(5))
	changes = append(changes, change{attachment: attachment(5)})
	shut(t, j)
	return bytes.SplitAfter([]byte(read(t, path)), []byte("\n"))[:len(changes)+1], changes
}

// outcome is what is left of the changes when some lines are not read.
func outcome(changes []change, damaged ...int) []model.Attachment {
	var all []model.Attachment
	for i, c := range changes {
		if slices.Contains(damaged, i+1) {
			continue
		}
		if c.deleted {
			all = slices.DeleteFunc(all, func(a model.Attachment) bool { return a.ID == c.attachment.ID })
			continue
		}
		all = append(all, c.attachment)
	}
	return all
}

// found opens a file with the content, and gives what a restarted agent finds.
func found(t testing.TB, path string, content []byte) ([]model.Attachment, journal.Report) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return reopen(t, path)
}

// A file cut off at any byte gives every attachment whose record is whole.
func TestTruncatedAtEveryByte(t *testing.T) {
	lines, changes := written(t)
	all := bytes.Join(lines, nil)
	path := filepath.Join(folder(t), "journal")
	for end := range all {
		whole, rest := 0, end // lines that are whole, bytes after them
		for ; rest >= len(lines[whole]); whole++ {
			rest -= len(lines[whole])
		}
		got, report := found(t, path, all[:end])
		if whole == 0 {
			if report.SetAside == "" || len(got) != 0 {
				t.Fatalf("cut at %d, in the header: %d attachments, %+v", end, len(got), report)
			}
			continue
		}
		same(t, got, outcome(changes[:whole-1]))
		if !report.Complete() || report.Torn != (rest > 0) {
			t.Errorf("report %+v, want torn: %v", report, rest > 0)
		}
		if t.Failed() {
			t.Fatalf("cut at byte %d", end)
		}
	}
}

// A bit that flipped costs the record it is in (two, if it parted them), no
// other; and the loss is reported.
func TestEveryBitFlip(t *testing.T) {
	lines, changes := written(t)
	all := bytes.Join(lines, nil)
	path := filepath.Join(folder(t), "journal")
	line, start := 0, 0
	for at := range all {
		if at == start+len(lines[line]) {
			start, line = at, line+1
		}
		damaged := []int{line}
		if all[at] == '\n' && line+1 < len(lines) {
			damaged = append(damaged, line+1)
		}
		content := bytes.Clone(all)
		content[at] ^= 1 << rand.IntN(8)
		got, report := found(t, path, content)
		if line == 0 {
			if report.SetAside == "" || len(got) != 0 {
				t.Fatalf("flip at %d, in the header: %d attachments, %+v", at, len(got), report)
			}
			continue
		}
		same(t, got, outcome(changes, damaged...))
		torn := at == len(all)-1
		if report.Torn != torn || !torn && report.Lost != lost(line, len(damaged), len(lines)) {
			t.Errorf("report %+v with lines %v damaged", report, damaged)
		}
		if t.Failed() {
			t.Fatalf("flip at byte %d: %q became %q", at, all[at], content[at])
		}
	}
}

// lost is how many of damaged lines are known to have been records.
func lost(first, damaged, lines int) int {
	if first+damaged == lines {
		return 1 // no later record's number tells how many they were
	}
	return damaged
}

// Blocks that the file system swapped, repeated, or gave from nowhere.
func TestBlocksOutOfPlace(t *testing.T) {
	lines, changes := written(t)
	garbage := bytes.Repeat([]byte{0}, 1<<20) // longer than any record
	for name, c := range map[string]struct {
		order []int // of lines; -1 is garbage without a newline
		lost  int
		torn  bool
		want  []model.Attachment
	}{
		"a line twice":      {order: []int{0, 1, 2, 1, 3, 4, 5, 6}, want: outcome(changes)},
		"an old line":       {order: []int{0, 1, 2, 3, 4, 5, 6, 2}, lost: 1, want: outcome(changes)},
		"a line missing":    {order: []int{0, 1, 2, 4, 5, 6}, lost: 1, want: outcome(changes, 3)},
		"two lines swapped": {order: []int{0, 1, 3, 2, 4, 5, 6}, lost: 1, want: outcome(changes, 2)},
		"a second header":   {order: []int{0, 1, 2, 0, 3, 4, 5, 6}, want: outcome(changes)},
		"zeros in a line":   {order: []int{0, 1, -1, 2, 3, 4, 5, 6}, lost: 1, want: outcome(changes, 2)},
		"zeros at the end":  {order: []int{0, 1, 2, 3, 4, 5, 6, -1}, torn: true, want: outcome(changes)},
	} {
		t.Run(name, func(t *testing.T) {
			var content []byte
			for _, line := range c.order {
				if line < 0 {
					content = append(content, garbage...)
				} else {
					content = append(content, lines[line]...)
				}
			}
			path := filepath.Join(folder(t), "journal")
			got, report := found(t, path, content)
			same(t, got, c.want)
			if report.Lost != c.lost || report.Torn != c.torn || report.SetAside != "" {
				t.Errorf("report %+v, want %d lost, torn: %v", report, c.lost, c.torn)
			}
			got, report = reopen(t, path)
			same(t, got, c.want)
			intact(t, report)
		})
	}
}

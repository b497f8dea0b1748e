// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in the file, Open makes a journal that works of it, and finds the
// same again.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(header(1, node) + line(oldPut)))
	dir := folder(f)
	path := filepath.Join(dir, "journal")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, got := open(t, path)
		put(t, j, attachment(1))
		remove(t, j, attachment(1))
		shut(t, j)
		again, report := reopen(t, path)
		intact(t, report)
		same(t, again, got)
	})
}

// The checksum keeps the fuzzer out of the records, so here it writes them.
func FuzzRecord(f *testing.F) {
	f.Add(oldPut)
	f.Add(`{"op":"delete","seq":2,"id":{"containerID":"abc","ifName":"eth0"}}`)
	dir := folder(f)
	path := filepath.Join(dir, "journal")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(header(1, node)+line(text)+line(oldPut)), 0o600); err != nil {
			t.Fatal(err)
		}
		got, _ := reopen(t, path)
		again, report := reopen(t, path)
		intact(t, report)
		same(t, again, got)
	})
}

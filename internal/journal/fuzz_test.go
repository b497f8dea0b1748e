// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	f.Add(`{"op":"allocate","seq":1,"allocation":{"id":"abc","devices":["contivpp.io/memif/0"],"secret":"x"}}`)
	f.Add(`{"op":"free","seq":2,"freed":"abc"}`)
	dir := folder(f)
	path := filepath.Join(dir, "journal")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(header(1, node)+line(text)+line(oldPut)), 0o600); err != nil {
			t.Fatal(err)
		}
		first, got := open(t, path)
		shut(t, first)
		second, again := open(t, path)
		shut(t, second)
		intact(t, second.Report())
		same(t, again, got)
		if diff := cmp.Diff(first.Allocations(), second.Allocations(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("allocations of the second start (-first +second):\n%s", diff)
		}
	})
}

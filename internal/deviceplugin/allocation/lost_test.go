// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/deviceplugin/allocation"
)

// loseJournal has the next start find no journal.
func (b *bench) loseJournal(t *testing.T) {
	t.Helper()
	b.stop(t)
	if err := os.RemoveAll(filepath.Join(b.root, "state")); err != nil {
		t.Fatal(err)
	}
	b.start(t, "a boot")
}

// Allocations whose folders are there are found again without the journal, the
// newest as such, and are in the next one.
func TestLostJournal(t *testing.T) {
	b := newBench(t)
	b.allocate(t, "d0")
	newest, other := b.allocate(t, "d0", "d1"), b.allocate(t, "d2")
	gone := b.allocate(t, "d3")
	if err := os.Remove(b.dir().Path(gone.ID)); err != nil {
		t.Fatal(err)
	}
	// What is no note keeps nobody from reading the others.
	given := b.dir().Given()
	if err := errors.Join(os.WriteFile(filepath.Join(given, "torn"), []byte(`{"id":`), 0o600), os.Mkdir(filepath.Join(given, "folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		b.finds(t, newest, "d0", "d1")
		b.finds(t, other, "d2")
		b.isUnknown(t, "d0")
		b.isUnknown(t, "d3")
	}
	b.loseJournal(t)
	check()
	b.loseJournal(t)
	check()
	if err := os.RemoveAll(given); err != nil {
		t.Fatal(err)
	}
	b.stop(t)
	b.start(t, "a boot") // the new journal alone
	check()
	if got := b.Secret(other.ID); !got.Equal(other.Secret) {
		t.Error("its secret is another")
	}
	// A reboot takes folders and notes; the journal has them all.
	b.stop(t)
	if err := os.RemoveAll(filepath.Join(b.root, "run")); err != nil {
		t.Fatal(err)
	}
	b.start(t, "another boot")
	b.loseJournal(t)
	check()
}

// Folders of no allocation go when nobody was seen to have them for a while.
func TestFoldersOfNobody(t *testing.T) {
	b := newBench(t)
	known := b.allocate(t, "d0")
	if err := errors.Join(b.dir().Make("nobodys"), b.dir().Make("served")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		used := map[string]bool{"served": true}
		for _, sight := range []allocation.Sight{
			{Kubelet: 1, Used: used, Listed: [][]string{{"d0"}}},
			{Kubelet: 1, Used: used, Listed: [][]string{{"d0"}, {"d1"}}}, // whose folder is it?
			{Kubelet: 1, Used: used, Listed: [][]string{{"d0"}}},
		} {
			time.Sleep(11 * time.Minute)
			b.sweep(t, sight)
			if len(b.folders(t)) != 3 {
				t.Fatalf("%+v: folders %v, want all", sight, b.folders(t))
			}
		}
		time.Sleep(11 * time.Minute)
		b.sweep(t, allocation.Sight{Kubelet: 1, Used: used, Listed: [][]string{{"d0"}}})
		want := slices.Sorted(slices.Values([]string{known.ID, "served"}))
		if diff := cmp.Diff(want, b.folders(t)); diff != "" {
			t.Errorf("folders (-want +got):\n%s", diff)
		}
	})
}

// An agent that is started again and again forgets what is superseded all the same.
func TestForgettingWhatWasSupersededBefore(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		b.allocate(t, "d0")
		main := b.allocate(t, "d0", "d1")
		sight := allocation.Sight{Kubelet: 1, Listed: [][]string{{"d0", "d1"}}}
		for range 3 {
			time.Sleep(4 * time.Minute)
			b.stop(t)
			b.start(t, "a boot")
		}
		b.sweep(t, sight)
		if diff := cmp.Diff([]string{main.ID}, b.folders(t)); diff != "" {
			t.Errorf("folders (-want +got):\n%s", diff)
		}
	})
}

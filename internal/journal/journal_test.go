// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/model"
)

func TestRestartFindsWhatWasPut(t *testing.T) {
	path := filepath.Join(folder(t), "state", "journal")
	j, none := open(t, path)
	same(t, none, nil)
	put(t, j, attachments(1, 2, 3, 4)...)
	remove(t, j, attachment(2))
	leaving := attachment(1)
	leaving.Leaving = true
	put(t, j, leaving)
	shut(t, j)

	// Replacing keeps the place: the order is that of the first put.
	want := []model.Attachment{leaving, attachment(3), attachment(4)}
	for range 2 {
		got, report := reopen(t, path)
		same(t, got, want)
		intact(t, report)
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	if _, _, err := journal.Open(path, options()); !errors.Is(err, journal.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("second Open: %v, want ErrInUse and the path", err)
	}
	put(t, j, attachment(1))
	shut(t, j)
	got, _ := reopen(t, path)
	same(t, got, attachments(1))
}

func TestModes(t *testing.T) {
	dir := filepath.Join(folder(t), "state")
	open(t, filepath.Join(dir, "journal"))
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, "journal"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %o", path, info.Mode(), err, want)
		}
	}
}

func TestDeleteOfWhatIsNotThereWritesNothing(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	put(t, j, attachment(1))
	before := read(t, path)
	remove(t, j, attachment(2))
	if after := read(t, path); after != before {
		t.Errorf("the file changed:\n%s\nbefore:\n%s", after, before)
	}
}

func TestRefusedAttachments(t *testing.T) {
	j, _ := open(t, filepath.Join(folder(t), "journal"))
	large, untyped := attachment(1), attachment(1)
	large.Interfaces = make([]model.Interface, 10000)
	for i := range large.Interfaces {
		large.Interfaces[i] = model.Interface{Name: fmt.Sprintf("tap%d", i), Type: podif.Tap, Network: "default"}
	}
	untyped.Interfaces[0].Type = 0
	for want, a := range map[string]model.Attachment{
		"an attachment without id":                    {},
		large.ID.String() + ": ":                      large,
		untyped.ID.String() + ": json: error calling": untyped,
	} {
		if err := j.Put(a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestClosedJournalRefuses(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	put(t, j, attachment(1))
	shut(t, j)
	shut(t, j)
	if err := j.Put(attachment(2)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Put: %v, want os.ErrClosed", err)
	}
	if err := j.Delete(attachment(1).ID); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Delete: %v, want os.ErrClosed", err)
	}
}

func TestOpenNeedsNodeAndBoot(t *testing.T) {
	for _, opts := range []journal.Options{{Node: node}, {BootID: boot}} {
		opts.Log = slog.New(slog.DiscardHandler)
		if _, _, err := journal.Open(filepath.Join(folder(t), "journal"), opts); err == nil {
			t.Errorf("Open with %+v: no error", opts)
		}
	}
}

func TestConcurrentChanges(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	const workers, each = 16, 50
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				a := attachment(1 + w*each + i)
				if err := j.Put(a); err != nil {
					t.Error(err)
				}
				if i > 0 {
					if err := j.Delete(attachment(w*each + i).ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	shut(t, j)
	got, report := reopen(t, path)
	intact(t, report)
	if len(got) != workers {
		t.Errorf("%d attachments, want the last one of each of %d workers", len(got), workers)
	}
}

// However much comes and goes, the file stays small and what lives is in it.
func TestFileStaysSmall(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	put(t, j, attachments(1, 2)...)
	for n := 3; n < 10000; n++ {
		put(t, j, attachment(n))
		remove(t, j, attachment(n))
		if n%100 != 0 {
			continue
		}
		if info, err := os.Stat(path); err != nil || info.Size() > 1<<20+1024 {
			t.Fatalf("after %d pods: %v, %v, want at most 1 MiB", n, info.Size(), err)
		}
	}
	shut(t, j)
	got, report := reopen(t, path)
	intact(t, report)
	same(t, got, attachments(1, 2))
}

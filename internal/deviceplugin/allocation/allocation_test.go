// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// bench is a store over a real journal and real folders.
type bench struct {
	*allocation.Store
	root    string
	journal *journal.Journal
}

func (b *bench) dir() memifdir.Dir { return memifdir.Dir(filepath.Join(b.root, "run", "memif")) }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{root: t.TempDir()}
	b.start(t, "a boot")
	t.Cleanup(func() { b.stop(t) })
	return b
}

func (b *bench) start(t *testing.T, boot string) {
	t.Helper()
	var err error
	b.journal, _, err = journal.Open(filepath.Join(b.root, "state", "journal"),
		journal.Options{Node: "node1", BootID: boot, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.Store = allocation.New(b.dir(), b.journal)
	if err := b.Restore(b.journal.Allocations(), nil); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) stop(t *testing.T) {
	t.Helper()
	if err := b.journal.Close(); err != nil {
		t.Error(err)
	}
}

func (b *bench) allocate(t *testing.T, devices ...string) model.MemifAllocation {
	t.Helper()
	a, err := b.Allocate(devices)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// finds asks that exactly these devices lead to the allocation.
func (b *bench) finds(t *testing.T, want model.MemifAllocation, devices ...string) {
	t.Helper()
	got, err := b.Find(noKubelet, devices)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("devices %v: %v (-want +got):\n%s", devices, err, diff)
	}
}

func (b *bench) isUnknown(t *testing.T, devices ...string) {
	t.Helper()
	if got, err := b.Find(noKubelet, devices); !errors.Is(err, allocation.ErrUnknown) || !strings.Contains(err.Error(), devices[0]) {
		t.Errorf("devices %v: %v, %v, want ErrUnknown and the devices", devices, got, err)
	}
}

// folders lists what there is.
func (b *bench) folders(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(string(b.dir()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// noKubelet is one that sweeps know nothing of.
const noKubelet = 1000

func TestAllocationsAreFoundAgain(t *testing.T) {
	b := newBench(t)
	one, two := b.allocate(t, "d0"), b.allocate(t, "d2", "d1")
	check := func() {
		t.Helper()
		b.finds(t, one, "d0")
		b.finds(t, two, "d1", "d2")
		b.finds(t, two, "d2", "d1")
		for _, devices := range [][]string{{"d1"}, {"d0", "d1"}, {"d0", "d9"}, {"d9"}, {"d1", "d2", "d3"}} {
			b.isUnknown(t, devices...)
		}
	}
	check()
	b.stop(t)
	b.start(t, "a boot")
	check()
	// A reboot takes the folders with it.
	b.stop(t)
	if err := os.RemoveAll(filepath.Join(b.root, "run")); err != nil {
		t.Fatal(err)
	}
	b.start(t, "another boot")
	check()
	if len(b.folders(t)) != 2 {
		t.Errorf("folders %v", b.folders(t))
	}
}

func TestIDsAndSecrets(t *testing.T) {
	b := newBench(t)
	form := regexp.MustCompile(`^[bcdfghjklmnpqrstvwxz2456789]{20}$`)
	seen, signs := map[string]bool{}, map[rune]int{}
	for range 100 {
		a := b.allocate(t, "d0")
		for _, text := range []string{a.ID, a.Secret.Reveal()} {
			if !form.MatchString(text) || seen[text] {
				t.Errorf("%q is not of the form, or was given before", text)
			}
			seen[text] = true
			for _, sign := range text {
				signs[sign]++
			}
		}
	}
	// 4,000 signs: 148 of each of the 27, give or take 12.
	for sign, n := range signs {
		if n < 70 || n > 230 {
			t.Errorf("%c comes %d times of 4,000", sign, n)
		}
	}
}

// Of several allocations with one device the newest counts, as the kubelet gave
// it, also after a restart.
func TestTheNewestCounts(t *testing.T) {
	b := newBench(t)
	b.allocate(t, "d0", "d1")
	b.allocate(t, "d0")
	newest := b.allocate(t, "d1", "d2")
	for range 2 {
		b.finds(t, newest, "d1", "d2")
		b.isUnknown(t, "d0", "d1")
		b.stop(t)
		b.start(t, "a boot")
	}
}

func TestRefusedAllocations(t *testing.T) {
	b := newBench(t)
	for _, devices := range [][]string{nil, {"d0", "d0"}} {
		if _, err := b.Allocate(devices); err == nil {
			t.Errorf("devices %v are given", devices)
		}
	}
	// The folders' place is taken by something else.
	if err := errors.Join(os.MkdirAll(filepath.Join(b.root, "run"), 0o700), os.WriteFile(string(b.dir()), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := b.Allocate([]string{"d0"})
	if !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), string(b.dir())) || !strings.Contains(err.Error(), "[d0]") {
		t.Errorf("error %v, want one that names folder and devices", err)
	}
	b.stop(t)
	if _, err := b.Allocate([]string{"d0"}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("without a journal: %v", err)
	}
	if err := os.Remove(string(b.dir())); err != nil {
		t.Fatal(err)
	}
	b.start(t, "a boot")
	if b.Held() != 0 || b.folders(t) != nil {
		t.Errorf("left behind: %d, %v", b.Held(), b.folders(t))
	}
}

func TestMissingFolder(t *testing.T) {
	b := newBench(t)
	a := b.allocate(t, "d0")
	if err := os.Remove(b.dir().Path(a.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find(noKubelet, []string{"d0"}); !errors.Is(err, memifdir.ErrMissing) {
		t.Errorf("error %v, want ErrMissing", err)
	}
}

// A folder that a container has mounted is not made again: nobody would see what
// is in the new one.
func TestMissingFolderThatIsUsed(t *testing.T) {
	b := newBench(t)
	used, unused := b.allocate(t, "d0"), b.allocate(t, "d1")
	if err := errors.Join(os.Remove(b.dir().Path(used.ID)), os.Remove(b.dir().Path(unused.ID))); err != nil {
		t.Fatal(err)
	}
	err := allocation.New(b.dir(), b.journal).Restore([]model.MemifAllocation{used, unused}, map[string]bool{used.ID: true})
	if !errors.Is(err, memifdir.ErrMissing) || !strings.Contains(err.Error(), used.ID) {
		t.Errorf("error %v, want ErrMissing and the folder named", err)
	}
	if diff := cmp.Diff([]string{unused.ID}, b.folders(t)); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
}

func (b *bench) sweep(t *testing.T, sight allocation.Sight) {
	t.Helper()
	if err := b.Sweep(t.Context(), sight); err != nil {
		t.Error(err)
	}
}

// What a kubelet listed and does not list any more is forgotten, unless an
// attachment uses it.
func TestForgetting(t *testing.T) {
	b := newBench(t)
	stays, goes := b.allocate(t, "d0"), b.allocate(t, "d1", "d2")
	both, one := [][]string{{"d0"}, {"d2", "d1"}}, [][]string{{"d0"}}
	for _, sight := range []allocation.Sight{
		{Kubelet: 1},               // not asked for yet
		{Kubelet: 1, Listed: both}, // both run
		{Kubelet: 2, Listed: nil},  // kubelet was restarted, and knows nothing yet
		{Kubelet: 2, Listed: one},  // a part
		{Kubelet: 2, Listed: both}, // all
		{Kubelet: 2, Listed: one, Used: map[string]bool{goes.ID: true}}, // its sandbox is still there
	} {
		b.sweep(t, sight)
		if len(b.folders(t)) != 2 {
			t.Fatalf("%+v: folders %v, want both", sight, b.folders(t))
		}
	}
	b.sweep(t, allocation.Sight{Kubelet: 2, Listed: one})
	b.finds(t, stays, "d0")
	b.isUnknown(t, "d1", "d2")
	b.stop(t)
	b.start(t, "a boot")
	b.isUnknown(t, "d1", "d2")
	if diff := cmp.Diff([]string{stays.ID}, b.folders(t)); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
}

// What was found for an ADD counts as listed, but not for a sweep that looked
// before.
func TestForgettingWhatWasFound(t *testing.T) {
	b := newBench(t)
	a := b.allocate(t, "d0")
	before := b.Moment()
	if _, err := b.Find(1, []string{"d0"}); err != nil {
		t.Fatal(err)
	}
	b.sweep(t, allocation.Sight{Kubelet: 1, Moment: before})
	if len(b.folders(t)) != 1 {
		t.Fatalf("allocation %s is forgotten because of what kubelet said before it was there", a.ID)
	}
	b.sweep(t, allocation.Sight{Kubelet: 1, Moment: b.Moment()})
	b.isUnknown(t, "d0")
}

// An init container's allocation is superseded by that of the container that
// inherits its devices, and is never listed. It stays for a while.
func TestForgettingWhatIsSuperseded(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		initial, main := b.allocate(t, "d0"), b.allocate(t, "d0", "d1")
		sight := allocation.Sight{Kubelet: 1, Listed: [][]string{{"d0", "d1"}}}
		b.sweep(t, sight)
		time.Sleep(9 * time.Minute)
		b.sweep(t, sight)
		if len(b.folders(t)) != 2 {
			t.Fatalf("folders %v, want that of the init container among them", b.folders(t))
		}
		time.Sleep(2 * time.Minute)
		sight.Used = map[string]bool{initial.ID: true}
		b.sweep(t, sight)
		if len(b.folders(t)) != 2 {
			t.Fatalf("folders %v, want the one that is used among them", b.folders(t))
		}
		sight.Used = nil
		b.sweep(t, sight)
		if diff := cmp.Diff([]string{main.ID}, b.folders(t)); diff != "" {
			t.Errorf("folders (-want +got):\n%s", diff)
		}
		b.finds(t, main, "d0", "d1")
	})
}

// What is forgotten and cannot be written down is there again after a restart.
func TestForgettingThatFails(t *testing.T) {
	b := newBench(t)
	a := b.allocate(t, "d0")
	b.sweep(t, allocation.Sight{Kubelet: 1, Listed: [][]string{{"d0"}}})
	b.stop(t) // the journal takes nothing
	err := b.Sweep(t.Context(), allocation.Sight{Kubelet: 1})
	if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), a.ID) {
		t.Errorf("error %v, want one that names the allocation", err)
	}
	b.start(t, "a boot")
	b.finds(t, a, "d0") // and its folder is there again
}

// Allocations, lookups and sweeps at the same time.
func TestAtTheSameTime(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			device := string(rune('a' + n))
			for range 10 {
				a, err := b.Allocate([]string{device})
				if err != nil {
					t.Error(err)
				}
				if got, err := b.Find(noKubelet, []string{device}); err != nil || got.ID != a.ID {
					t.Errorf("found %v, %v", got, err)
				}
			}
		})
	}
	stop := make(chan struct{})
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for {
			b.sweep(t, allocation.Sight{Kubelet: 1, Listed: [][]string{{"a"}, {"b"}}})
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-swept
	if b.Held() != len(b.folders(t)) {
		t.Errorf("%d held, %d folders", b.Held(), len(b.folders(t)))
	}
}

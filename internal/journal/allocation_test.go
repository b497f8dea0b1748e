// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/model"
)

func allocation(n int) model.MemifAllocation {
	return model.MemifAllocation{
		ID:      fmt.Sprintf("folder%d", n),
		Devices: []string{fmt.Sprintf("contivpp.io/memif/%d", n)},
		Secret:  model.NewSecret(fmt.Sprintf("secret%d", n)),
	}
}

func allocations(numbers ...int) []model.MemifAllocation {
	var all []model.MemifAllocation
	for _, n := range numbers {
		all = append(all, allocation(n))
	}
	return all
}

func allocate(t testing.TB, j *journal.Journal, all ...model.MemifAllocation) {
	t.Helper()
	for _, a := range all {
		if err := j.PutAllocation(a); err != nil {
			t.Fatal(err)
		}
	}
}

// allocated gives what an agent finds that starts with the boot id.
func allocated(t testing.TB, path, bootID string) []model.MemifAllocation {
	t.Helper()
	opts := options()
	opts.BootID = bootID
	j, _, err := journal.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	shut(t, j)
	return j.Allocations()
}

// Allocations are found again after a restart and after a reboot, in their
// order, whatever happens to attachments meanwhile.
func TestAllocationsOutliveAReboot(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	put(t, j, attachment(1))
	allocate(t, j, allocations(3, 1, 2, 4)...)
	if err := j.DeleteAllocation("folder1"); err != nil {
		t.Fatal(err)
	}
	if err := j.DeleteAllocation("unknown"); err != nil {
		t.Error(err)
	}
	shut(t, j)
	want := allocations(3, 2, 4)
	for _, bootID := range []string{boot, boot, "another", "another", "a third"} {
		if diff := cmp.Diff(want, allocated(t, path, bootID)); diff != "" {
			t.Errorf("boot %s (-want +got):\n%s", bootID, diff)
		}
	}
	// Also when the first start after a reboot has no room for a new file.
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, bootID := range []string{"a fourth", "a fifth"} {
		if diff := cmp.Diff(want, allocated(t, path, bootID)); diff != "" {
			t.Errorf("boot %s, without a new file (-want +got):\n%s", bootID, diff)
		}
	}
}

// Files of this format are read for ever, and written like this.
func TestFormatOfAllocations(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	allocate(t, j, allocation(1))
	if err := j.DeleteAllocation("folder1"); err != nil {
		t.Fatal(err)
	}
	want := header(1, node) +
		line(`{"op":"allocate","seq":1,"allocation":{"id":"folder1","devices":["contivpp.io/memif/1"],"secret":"secret1"}}`) +
		line(`{"op":"free","seq":2,"freed":"folder1"}`)
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
}

// A damaged record costs one allocation, and neither the others nor an
// attachment.
func TestDamagedAllocation(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	put(t, j, attachment(1))
	allocate(t, j, allocations(1, 2, 3)...)
	put(t, j, attachment(2))
	shut(t, j)
	damaged := strings.Replace(read(t, path), "secret2", "secretX", 1)
	if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	j, attachments := open(t, path)
	same(t, attachments, []model.Attachment{attachment(1), attachment(2)})
	if diff := cmp.Diff(allocations(1, 3), j.Allocations()); diff != "" || j.Report().Lost != 1 {
		t.Errorf("report %+v (-want +got):\n%s", j.Report(), diff)
	}
}

func TestAllocationOnAFullDisk(t *testing.T) {
	dir := disk(t, "size=64k")
	path := filepath.Join(dir, "journal")
	j, _ := open(t, path)
	kept := allocations()
	var err error
	for n := 0; err == nil; n++ {
		if err = j.PutAllocation(allocation(n)); err == nil {
			kept = append(kept, allocation(n))
		}
	}
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v, want no space, the file's name, and no secret", err)
	}
	shut(t, j)
	if diff := cmp.Diff(kept, allocated(t, path, boot)); diff != "" {
		t.Errorf("after the restart (-want +got):\n%s", diff)
	}
}

func TestAllocationsThatAreRefused(t *testing.T) {
	j, _ := open(t, filepath.Join(folder(t), "journal"))
	if err := j.PutAllocation(model.MemifAllocation{}); err == nil {
		t.Error("an allocation without id is recorded")
	}
	big := allocation(1)
	big.Devices = []string{strings.Repeat("x", 256<<10)}
	if err := j.PutAllocation(big); err == nil || !strings.Contains(err.Error(), "fewer devices") {
		t.Errorf("error %v, want one that says what to do", err)
	}
	shut(t, j)
	if err := j.PutAllocation(allocation(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v after Close", err)
	}
}

// A memif interface of an attachment has the secret of its allocation, which is
// written with that alone.
func TestMemifsHaveTheirSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := journal.Open(path, options())
	if err != nil {
		t.Fatal(err)
	}
	allocate(t, j, allocations(1)...)
	a := model.Attachment{ID: model.AttachmentID{ContainerID: "c", IfName: "eth0"}, Interfaces: []model.Interface{
		{Name: "m1", Type: podif.Memif, Memif: &model.Memif{Allocation: "folder1", Secret: model.NewSecret("secret1")}},
		{Name: "m2", Type: podif.Memif, Memif: &model.Memif{ID: 1, Allocation: "lost", Secret: model.NewSecret("secret2")}},
		{Name: "t", Type: podif.Tap},
	}}
	if err := errors.Join(j.Put(a), j.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "secret1") != 1 || strings.Contains(string(text), "secret2") {
		t.Errorf("%v, written:\n%s", err, text)
	}
	j, found, err := journal.Open(path, options())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	a.Interfaces[1].Memif.Secret = model.Secret{}
	if diff := cmp.Diff([]model.Attachment{a}, found); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

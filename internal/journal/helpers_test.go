// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/model"
)

const (
	node = "node-1"
	boot = "7f1e6c1a-0d5b-4b2e-9d0e-3c5a5f1f2b11"
)

// folder is a folder for a journal, in memory where the machine has such a
// place, because thousands of fsyncs on a disk take their time.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal") //nolint:usetesting // t.TempDir knows no folder in memory
	if errors.Is(err, fs.ErrNotExist) {
		return t.TempDir()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func options() journal.Options {
	return journal.Options{Node: node, BootID: boot, Log: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, path string) (*journal.Journal, []model.Attachment) {
	t.Helper()
	j, attachments, err := journal.Open(path, options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, j) })
	return j, attachments
}

func shut(t testing.TB, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// reopen gives what a restarted agent finds.
func reopen(t testing.TB, path string) ([]model.Attachment, journal.Report) {
	t.Helper()
	j, attachments := open(t, path)
	shut(t, j)
	return attachments, j.Report()
}

func put(t testing.TB, j *journal.Journal, all ...model.Attachment) {
	t.Helper()
	for _, a := range all {
		if err := j.Put(a); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t testing.TB, j *journal.Journal, all ...model.Attachment) {
	t.Helper()
	for _, a := range all {
		if err := j.Delete(a.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func attachment(n int) model.Attachment {
	ip := netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})
	return model.Attachment{
		ID:      model.AttachmentID{ContainerID: fmt.Sprintf("%064x", n), IfName: "eth0"},
		Network: "k8s-pod-network",
		Pod:     model.PodRef{Namespace: "default", Name: fmt.Sprintf("web-%d", n), UID: "u"},
		Netns:   model.Netns{Path: fmt.Sprintf("/run/netns/cni-%d", n), Inode: uint64(n)},
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: "default", Addresses: []netip.Addr{ip, netip.MustParseAddr("fd00::2")}},
			{Name: "tap1", Type: podif.Tap, Network: "stub"},
		},
	}
}

func attachments(numbers ...int) []model.Attachment {
	var all []model.Attachment
	for _, n := range numbers {
		all = append(all, attachment(n))
	}
	return all
}

func same(t testing.TB, got, want []model.Attachment) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return // cmp takes its time, and some tests ask thousands of times
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("attachments (-want +got):\n%s", diff)
	}
}

func intact(t testing.TB, r journal.Report) {
	t.Helper()
	if !r.Complete() || r.Rebooted != 0 {
		t.Errorf("report %+v, want nothing lost", r)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

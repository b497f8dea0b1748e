// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/journal"
)

// line is a record as the format has it.
func line(text string) string {
	return fmt.Sprintf("%08x %s\n", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)), text)
}

func header(version int, node string) string {
	return line(fmt.Sprintf(`{"op":"header","seq":0,"header":{"version":%d,"node":%q,"boot":%q}}`, version, node, boot))
}

const oldPut = `{"op":"put","seq":1,"attachment":{"id":{"containerID":"abc","ifName":"eth0"},` +
	`"network":"net","pod":{"namespace":"default","name":"web"},"netns":{"path":"/run/netns/a","inode":7},` +
	`"interfaces":[{"name":"eth0","type":"veth","network":"default","addresses":["10.1.1.2"]}]}}`

// Files of this format are read for ever, and written like this.
func TestFormat(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	content := header(1, node) + line(oldPut)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	j, got := open(t, path)
	if len(got) != 1 || got[0].ID.ContainerID != "abc" || got[0].Interfaces[0].Addresses[0].String() != "10.1.1.2" {
		t.Fatalf("attachments %+v", got)
	}
	if diff := cmp.Diff(content, read(t, path)); diff != "" {
		t.Errorf("the file after Open (-want +got):\n%s", diff)
	}
	remove(t, j, got[0])
	content += line(`{"op":"delete","seq":2,"id":{"containerID":"abc","ifName":"eth0"}}`)
	if diff := cmp.Diff(content, read(t, path)); diff != "" {
		t.Errorf("the file after Delete (-want +got):\n%s", diff)
	}
}

func TestUnusableFileIsSetAside(t *testing.T) {
	for _, c := range []struct{ name, content, reason string }{
		{"empty", "", "header: no checksum"},
		{"zeros", strings.Repeat("\x00", 4096), "header: no checksum"},
		{"garbage", strings.Repeat("\xff\n", 100), "header: no checksum"},
		{"no header", line(oldPut), "does not begin with a header"},
		{"newer", header(2, node) + line(oldPut), "format version 2 (this program knows 1)"},
		{"older", header(0, node) + line(oldPut), "format version 0 (this program knows 1)"},
		{"another node's", header(1, "node-2") + line(oldPut), `node "node-2", not of "node-1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(folder(t), "journal")
			var log bytes.Buffer
			opts := options()
			opts.Log = slog.New(slog.NewTextHandler(&log, nil))
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			j, got, err := journal.Open(path, opts)
			if err != nil || len(got) != 0 {
				t.Fatalf("Open: %d attachments, %v", len(got), err)
			}
			report := j.Report()
			if report.Complete() || report.SetAside != path+".bad-1" || !strings.Contains(report.Reason.Error(), c.reason) {
				t.Errorf("report %+v, want %s.bad-1 and %q", report, path, c.reason)
			}
			if !strings.Contains(log.String(), "journal set aside") || !strings.Contains(log.String(), path+".bad-1") {
				t.Errorf("the log says %q", log.String())
			}
			if read(t, report.SetAside) != c.content {
				t.Error("the file set aside is not what it was")
			}
			put(t, j, attachment(1))
			shut(t, j)
			got, report = reopen(t, path)
			same(t, got, attachments(1))
			intact(t, report)
		})
	}
}

func TestFewFilesAreKeptAside(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "journal")
	for n := range 6 {
		if err := os.WriteFile(path, fmt.Append(nil, "bad ", n), 0o600); err != nil {
			t.Fatal(err)
		}
		reopen(t, path)
	}
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "journal" {
			got = append(got, e.Name()+": "+read(t, filepath.Join(dir, e.Name())))
		}
	}
	want := []string{"journal.bad-1: bad 5", "journal.bad-2: bad 4", "journal.bad-3: bad 3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files aside (-want +got):\n%s", diff)
	}
}

// After a reboot no sandbox is left, so no address may stay taken.
func TestRebootDropsEverything(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	j, _ := open(t, path)
	put(t, j, attachments(1, 2, 3)...)
	remove(t, j, attachment(2))
	shut(t, j)

	opts := options()
	opts.BootID = "another"
	j, got, err := journal.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	if report := j.Report(); len(got) != 0 || report.Rebooted != 2 || !report.Complete() {
		t.Errorf("%d attachments, report %+v, want 2 dropped", len(got), report)
	}
	if lines := strings.Count(read(t, path), "\n"); lines != 1 {
		t.Errorf("the file has %d lines, want the header alone", lines)
	}
	put(t, j, attachment(9))
	shut(t, j)
	j, got, err = journal.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, attachments(9))
	intact(t, j.Report())
	shut(t, j)
}

func TestFolderInPlaceOfFile(t *testing.T) {
	path := filepath.Join(folder(t), "journal")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := journal.Open(path, options()); err == nil || !strings.Contains(err.Error(), path+": is a directory") {
		t.Errorf("error %v, want one that says that %s is a directory", err, path)
	}
}

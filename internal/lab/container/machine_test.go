// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"testing"
)

func TestParseMount(t *testing.T) {
	for line, want := range map[string][2]string{
		"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw":                                       {"/", "ext4"},
		"31 23 0:28 / /mnt/two\\040words\\134 rw shared:1 master:2 - tmpfs tmpfs rw,mode=755": {"/mnt/two words\\", "tmpfs"},
		"": {}, "1 2 3 4 - ext4": {}, "1 2 3 4 /x - ": {}, "no separator at all here": {},
	} {
		path, kind, ok := parseMount(line)
		if got := [2]string{path, kind}; got != want || ok != (want[0] != "") {
			t.Errorf("parseMount(%q) = %q %t, want %q", line, got, ok, want)
		}
	}
}

func TestHoldsFiles(t *testing.T) {
	for path, kind := range map[string]string{
		"/proc": "proc", "/sys/fs/cgroup": "cgroup2", "/dev/shm": "tmpfs", "/dev/shm/x": "tmpfs", "/mnt/auto": "autofs", "/run/netns/a": "nsfs", "/m": "fuse.sshfs",
	} {
		if holdsFiles(path, kind) {
			t.Errorf("%s (%s) would be shown", path, kind)
		}
	}
	for path, kind := range map[string]string{"/": "ext4", "/home": "btrfs", "/tmp": "tmpfs", "/processes": "xfs", "/var": "overlay", "/dev": "devtmpfs", "/dev/pts": "devpts"} {
		if !holdsFiles(path, kind) {
			t.Errorf("%s (%s) would not be shown", path, kind)
		}
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw")
	f.Add(" - ")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		path, kind, ok := parseMount(line)
		if ok && (path == "" || kind == "") {
			t.Errorf("parseMount(%q) = %q, %q", line, path, kind)
		}
	})
}

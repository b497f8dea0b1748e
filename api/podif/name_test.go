// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// candidates are names around every border that Linux draws.
func candidates() []string {
	names := []string{
		".", "..", "...", "all", "default", "All", "stub", "-", "a%d", "%", "a:b", "abcdefghijklmno", "abcdefghijklmnop",
		"\u00fcn\u00ef", "\u00e0", "\u2003", "\u00a0x", "\u4f60", "\xff\xfe", "a,b", "tap\u200b", "bridge", "0",
	}
	for b := 1; b < 256; b++ {
		names = append(names, "n"+string([]byte{byte(b)}), string([]byte{byte(b)})+"n")
	}
	return names
}

// TestTakenNamesAreTakenByLinux asks the running kernel: every name that is
// accepted here must be the name that an interface then has.
func TestTakenNamesAreTakenByLinux(t *testing.T) {
	need.Root(t)
	handle := namespace(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "before"}}
	if err := handle.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, name := range candidates() {
		problems := podif.Validate(podif.Request{{Name: name, Type: podif.Tap, Network: podif.DefaultNetwork}})
		if problems.Err() != nil {
			continue
		}
		taken++
		if err := handle.LinkSetName(bridge, name); err != nil {
			t.Errorf("%q is accepted, and Linux says %v", name, err)
			continue
		}
		link, err := handle.LinkByIndex(bridge.Index)
		if err != nil {
			t.Fatal(err)
		}
		if got := link.Attrs().Name; got != name {
			t.Errorf("%q is accepted, and Linux makes %q of it", name, got)
		}
	}
	if taken < 150 {
		t.Errorf("only %d names were accepted", taken)
	}
}

// namespace makes a network namespace for the test and a netlink handle in it.
func namespace(t *testing.T) *netlink.Handle {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := netlink.NewHandleAt(vns.NsHandle(ns.FD()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		handle.Close()
		if err := errors.Join(ns.Close(), netns.Unpin(path)); err != nil {
			t.Error(err)
		}
	})
	return handle
}

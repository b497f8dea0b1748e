// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package relaytest holds what the tests of the relay share: network namespaces
// and what can be done in them.
package relaytest

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// Space is a network namespace that a test made.
type Space struct {
	Path string
	*netns.Handle
	NL *nl.Handle
}

// NewSpace makes a namespace that lives until the test ends; it needs root.
func NewSpace(t testing.TB) *Space {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Unpin(path); err != nil {
			t.Error(err)
		}
	})
	handle, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	link, err := nl.Open(handle)
	if err != nil {
		t.Fatal(err)
	}
	s := &Space{Path: path, Handle: handle, NL: link}
	t.Cleanup(s.LetGo)
	s.Up(t, "lo")
	return s
}

// LetGo closes the test's own files, which keep the namespace alive.
func (s *Space) LetGo() {
	s.NL.Close()
	_ = s.Close()
}

// Link names a device in the namespace for the relay.
func (s *Space) Link(name string) relayapi.Link {
	return relayapi.Link{Netns: s.Path, Inode: s.Inode(), Name: name}
}

// Device looks a device up.
func (s *Space) Device(t testing.TB, name string) netlink.Link {
	t.Helper()
	link, err := s.NL.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return link
}

// Has reports whether a device is there.
func (s *Space) Has(t testing.TB, name string) bool {
	t.Helper()
	_, err := s.NL.LinkByName(name)
	var notFound netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &notFound) {
		t.Fatalf("%s: %v", name, err)
	}
	return err == nil
}

// Up sets a device up.
func (s *Space) Up(t testing.TB, name string) {
	t.Helper()
	if err := s.NL.LinkSetUp(s.Device(t, name)); err != nil {
		t.Fatalf("%s: up: %v", name, err)
	}
}

// Address gives the link an address, at which packets are taken at once, and a route
// to the other end's.
func (s *Space) Address(t testing.TB, name, own, peer string) {
	t.Helper()
	link := s.Device(t, name)
	addr := netip.MustParseAddr(own)
	err := s.NL.AddrAdd(link, &netlink.Addr{
		IPNet: netlink.NewIPNet(addr.AsSlice()), Flags: unix.IFA_F_NODAD,
	})
	if err != nil {
		t.Fatalf("%s: address %s: %v", name, own, err)
	}
	if addr.Is6() {
		// The kernel does so, too, but when a work queue comes to it.
		err := s.NL.RouteReplace(&netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: netlink.NewIPNet(addr.AsSlice()), Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL,
		})
		if err != nil {
			t.Fatalf("%s: take packets for %s: %v", name, own, err)
		}
	}
	err = s.NL.RouteAdd(&netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: netlink.NewIPNet(netip.MustParseAddr(peer).AsSlice()),
		Scope: netlink.SCOPE_LINK,
	})
	if err != nil {
		t.Fatalf("%s: route to %s: %v", name, peer, err)
	}
}

// Neighbor says for good who has an address.
func (s *Space) Neighbor(t testing.TB, name, addr string, mac model.MAC) {
	t.Helper()
	err := s.NL.NeighSet(&netlink.Neigh{
		LinkIndex: s.Device(t, name).Attrs().Index, State: netlink.NUD_PERMANENT, IP: netip.MustParseAddr(addr).AsSlice(), HardwareAddr: mac[:],
	})
	if err != nil {
		t.Fatalf("%s: neighbor %s: %v", name, addr, err)
	}
}

// Carrier reports whether the file of a tap that is up is open somewhere
// (IFF_LOWER_UP).
func (s *Space) Carrier(t testing.TB, name string) bool {
	t.Helper()
	const lowerUp = 1 << 16
	return s.Device(t, name).Attrs().RawFlags&lowerUp != 0
}

// Ping sends one echo request from the namespace and expects the reply.
func (s *Space) Ping(t testing.TB, addr string) {
	t.Helper()
	var out []byte
	err := s.Do(func() (err error) {
		out, err = exec.CommandContext(t.Context(), "ping", "-c1", "-W10", addr).CombinedOutput()
		return err
	})
	if err != nil {
		t.Errorf("ping %s: %v\n%s", addr, err, out)
	}
}

// Eventually polls for what no event tells.
func Eventually(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// OpenFiles counts the files that the test process has open.
func OpenFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

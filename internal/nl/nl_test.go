// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

// space is a namespace of the test's own, and a socket in it.
func space(t *testing.T) (*netns.Handle, *nl.Handle) {
	t.Helper()
	need.Root(t)
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netns.Unpin(path) })
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	handle, err := nl.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(handle.Close)
	return ns, handle
}

func bridge(t *testing.T, h *nl.Handle, name string, group uint32) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = name, group
	if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
}

func TestDeleteGroupDeletesTheGroupAlone(t *testing.T) {
	ns, h := space(t)
	for i := range 5 {
		bridge(t, h, fmt.Sprint("in", i), 77)
	}
	bridge(t, h, "out", 78)
	for range 2 { // the second time there is nothing to delete
		if err := nl.DeleteGroup(ns, 77); err != nil {
			t.Fatal(err)
		}
	}
	links, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name := l.Attrs().Name; name != "lo" && name != "out" {
			t.Errorf("%s is left", name)
		}
	}
	if len(links) != 2 {
		t.Errorf("%d links left, want lo and out", len(links))
	}
}

func TestListsSurviveChurn(t *testing.T) {
	ns, h := space(t)
	s := newSocket(t, ns)
	bridge(t, h, "keep", 0)
	ctx, stop := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	churn.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = fmt.Sprint("c", i%100)
			_ = h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
			if i > 50 {
				_ = h.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprint("c", (i-50)%100)}})
			}
		}
	})
	for range 50 {
		links, err := s.Links()
		if err != nil {
			t.Errorf("links: %v", err)
			break
		}
		found := false
		for _, l := range links {
			found = found || l.Name == "keep"
		}
		if !found {
			t.Error("a link that was there all the time is not listed")
		}
	}
	stop()
	churn.Wait()
}

func TestEventsOfOtherNamespaces(t *testing.T) {
	here, h := space(t)
	other, inside := space(t)
	socket := newSocket(t, here)
	id, err := socket.NSID(other)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := socket.NSID(other); err != nil || again != id {
		t.Errorf("asked again the id is %d (%v), want %d", again, err, id)
	}
	events, err := nl.Subscribe(here, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	bridge(t, h, "here", 0)
	bridge(t, inside, "there", 0)
	seen := map[int]bool{}
	err = events.Run(ctx, func(e nl.Event) {
		link, ok := nl.ParseLink(e.Data)
		if !ok || e.Type != unix.RTM_NEWLINK {
			t.Errorf("message %d: %v", e.Type, e.Data)
			return
		}
		want := map[string]int{"here": nl.OwnNamespace, "there": id}[link.Name]
		if e.NSID != want {
			t.Errorf("%s is told from namespace %d, want %d", link.Name, e.NSID, want)
		}
		if seen[e.NSID] = true; len(seen) == 2 {
			stop()
		}
	})
	if err != nil || len(seen) != 2 {
		t.Errorf("events from %v, %v", seen, err)
	}
}

func TestIgnoredEventsDoNotArrive(t *testing.T) {
	here, h := space(t)
	events, err := nl.Subscribe(here, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := events.Ignore(unix.RTM_NEWLINK, unix.RTM_NEWADDR); err != nil {
		t.Fatal(err)
	}
	bridge(t, h, "br", 0)
	link, err := h.LinkByName("br")
	if err != nil {
		t.Fatal(err)
	}
	address, err := netlink.ParseAddr("10.0.0.1/32")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(netlink.Link, *netlink.Addr) error{h.AddrAdd, h.AddrDel} {
		if err := change(link, address); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var seen []uint16
	err = events.Run(ctx, func(e nl.Event) {
		if seen = append(seen, e.Type); e.Type == unix.RTM_DELLINK {
			stop()
		}
	})
	if diff := cmp.Diff([]uint16{unix.RTM_DELADDR, unix.RTM_DELLINK}, seen); err != nil || diff != "" {
		t.Errorf("events (-want +got), %v:\n%s", err, diff)
	}
}

func TestLostEventsAreTold(t *testing.T) {
	here, h := space(t)
	events, err := nl.Subscribe(here, unix.NETLINK_ROUTE, unix.RTNLGRP_NEIGH)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	bridge(t, h, "br", 0)
	link, err := h.LinkByName("br")
	if err != nil {
		t.Fatal(err)
	}
	// Nobody reads meanwhile: the socket's buffer runs over.
	for i := range 60_000 {
		err := h.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
			IP: []byte{10, 0, 0, byte(i%250 + 1)}, HardwareAddr: []byte{2, 0, 0, 0, byte(i >> 8), byte(i)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := events.Run(ctx, func(nl.Event) {}); !errors.Is(err, nl.ErrLost) {
		t.Errorf("error %v, want ErrLost", err)
	}
}

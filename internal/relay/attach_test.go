// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
)

func TestAttachAgainLeavesThePortUntouched(t *testing.T) {
	w := newWire(t, 1)
	w.pod.Ping(t, twinV4)
	before := w.counted(t, w.port.ID, func(s relayapi.PortState) bool { return s.RxFrames > 0 })
	w.attach(t, w.port)
	anyInode := w.port
	anyInode.Pod.Inode, anyInode.Twin.Inode = 0, 0
	w.attach(t, anyInode)
	after := w.state(t, w.port.ID)
	if after.RxFrames < before.RxFrames {
		t.Errorf("counters started anew: %+v, before %+v", after, before)
	}
	if diff := cmp.Diff(w.port, after.TapPort); diff != "" {
		t.Errorf("port (-want +got):\n%s", diff)
	}
}

func TestDetachLeavesDevicesAndTheirConfiguration(t *testing.T) {
	w := newWire(t, 2)
	addresses, err := w.pod.NL.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // an absent port is no error
		if err := w.client.Detach(t.Context(), []string{w.port.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if ports, err := w.client.List(t.Context()); err != nil || len(ports) != 0 || w.records(t) != 0 {
		t.Errorf("after detach: ports %v, %v; %d records", ports, err, w.records(t))
	}
	if tun := w.pod.Device(t, "tap1").(*netlink.Tuntap); tun.Queues != 0 {
		t.Errorf("%d queues are still open", tun.Queues)
	}
	w.attach(t, w.port)
	after, err := w.pod.NL.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprint(addresses), fmt.Sprint(after)); diff != "" {
		t.Errorf("addresses (-before +after):\n%s", diff)
	}
	w.pod.Ping(t, twinV6)
}

func TestChangedPortIsAttachedAnew(t *testing.T) {
	w := newWire(t, 1)
	changed := w.port
	changed.Twin.Name = "twin2"
	w.attach(t, changed)
	if got := w.state(t, w.port.ID); !got.Attached || got.Twin.Name != "twin2" || got.RxFrames > 2 {
		t.Errorf("state %+v, want twin2 with new counters", got)
	}
	if w.network.Carrier(t, "twin1") {
		t.Error("the old twin still has a carrier")
	}
}

func TestAttachSaysWhatIsWrong(t *testing.T) {
	pod, network := newSpace(t), newSpace(t)
	r := startRelay(t, t.TempDir())
	r.attach(t, relayapi.TapPort{ID: "other", Pod: pod.Link("tap0"), Twin: network.Link("twin0"), Queues: 1},
		relayapi.TapPort{ID: "wide", Pod: pod.Link("tap4"), Twin: network.Link("twin4"), Queues: 4})
	addLink(t, network, &netlink.Veth{LinkAttrs: named("veth0"), PeerName: "veth1"})
	addLink(t, network, &netlink.Tuntap{LinkAttrs: named("tun0"), Mode: netlink.TUNTAP_MODE_TUN})
	addLink(t, network, &netlink.Tuntap{
		LinkAttrs: named("wide0"), Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS, Queues: 1,
	})
	moved := network.Link("twin1")
	moved.Inode = pod.Inode()
	for name, c := range map[string]struct {
		twin   relayapi.Link
		queues int
		want   error
		text   string
	}{
		"no namespace": {relayapi.Link{Netns: filepath.Join(t.TempDir(), "none"), Name: "twin1"}, 1, relayapi.ErrNetnsGone, "twin1: "},
		"another one":  {moved, 1, relayapi.ErrNetnsGone, "twin1: "},
		"veth":         {network.Link("veth0"), 1, relayapi.ErrTaken, "veth0 in " + network.Path + ": "},
		"tun":          {network.Link("tun0"), 1, relayapi.ErrTaken, "a tun device"},
		"multi-queue":  {network.Link("wide0"), 1, relayapi.ErrTaken, "several queues"},
		"single-queue": {network.Link("twin0"), 2, relayapi.ErrTaken, "1 queue"},
		"busy":         {network.Link("twin0"), 1, relayapi.ErrTaken, "has it open"},
		"busy, wide":   {network.Link("twin4"), 4, relayapi.ErrTaken, "has it open"},
		"malformed":    {network.Link("twin%d"), 1, nil, `device name "twin%d"`},
		"no queue":     {network.Link("twin1"), 0, nil, "0 queues: must be 1 to 256"},
	} {
		t.Run(name, func(t *testing.T) {
			port := relayapi.TapPort{ID: "p", Pod: pod.Link("tap1"), Twin: c.twin, Queues: c.queues}
			err := r.client.Attach(t.Context(), []relayapi.TapPort{port})[0]
			if err == nil || !strings.Contains(err.Error(), c.text) || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("error %v, want %q and %v", err, c.text, c.want)
			}
			if pod.Has(t, "tap1") || network.Has(t, "twin1") || r.records(t) != 2 {
				t.Error("something half-made was left behind")
			}
		})
	}
}

func TestErrorsAreOfTheirPort(t *testing.T) {
	pod, network := newSpace(t), newSpace(t)
	r := startRelay(t, t.TempDir())
	errs := r.client.Attach(t.Context(), []relayapi.TapPort{
		{ID: "good", Pod: pod.Link("tap1"), Twin: network.Link("twin1"), Queues: 1},
		{ID: "bad", Pod: pod.Link("lo"), Twin: network.Link("twin2"), Queues: 1},
		{ID: "fine", Pod: pod.Link("tap3"), Twin: network.Link("twin3"), Queues: 1},
	})
	if errs[0] != nil || !errors.Is(errs[1], relayapi.ErrTaken) || errs[2] != nil {
		t.Errorf("errors %v, want the second alone", errs)
	}
}

func TestAttachThatCannotBeRecordedIsUndone(t *testing.T) {
	pod, network := newSpace(t), newSpace(t)
	r := startRelay(t, t.TempDir())
	r.list(t)
	if err := os.RemoveAll(r.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	port := relayapi.TapPort{ID: "c/eth0/tap1", Pod: pod.Link("tap1"), Twin: network.Link("twin1"), Queues: 1}
	err := r.client.Attach(t.Context(), []relayapi.TapPort{port})[0]
	if err == nil || !strings.Contains(err.Error(), "port c/eth0/tap1: record: ") {
		t.Errorf("error %v, want one about the record", err)
	}
	if pod.Has(t, "tap1") || network.Has(t, "twin1") || len(r.list(t)) != 0 {
		t.Error("something half-made was left behind")
	}
}

// TestManyCallers: while some come and go, and devices are torn away, the
// others' ports stay as they are.
func TestManyCallers(t *testing.T) {
	w := newWire(t, 1)
	var callers sync.WaitGroup
	for i := range 8 {
		port := relayapi.TapPort{
			ID: fmt.Sprint(i), Pod: w.pod.Link(fmt.Sprint("p", i)), Twin: w.network.Link(fmt.Sprint("t", i)), Queues: 1 + i%2,
		}
		callers.Go(func() {
			for range 10 {
				errs := w.client.Attach(t.Context(), []relayapi.TapPort{port})
				_, err := w.client.List(t.Context())
				errs = append(errs, err)
				if i%4 == 0 {
					link, err := w.pod.NL.LinkByName(port.Pod.Name)
					errs = append(errs, err, w.pod.NL.LinkDel(link))
				}
				if err := errors.Join(append(errs, w.client.Detach(t.Context(), []string{port.ID}))...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	if got := w.list(t); len(got) != 1 || !got[0].Attached || w.records(t) != 1 {
		t.Errorf("ports %+v and %d records, want the first port alone", got, w.records(t))
	}
	w.pod.Ping(t, twinV4)
}

func TestNothingLeaks(t *testing.T) {
	pod, network := newSpace(t), newSpace(t)
	r := startRelay(t, t.TempDir())
	port := relayapi.TapPort{ID: "p", Pod: pod.Link("tap1"), Twin: network.Link("twin1"), Queues: 2}
	cycle := func() {
		r.attach(t, port)
		if err := r.client.Detach(t.Context(), []string{port.ID}); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	files, goroutines := relaytest.OpenFiles(t), runtime.NumGoroutine()
	for range 200 {
		cycle()
	}
	if after := relaytest.OpenFiles(t); after != files {
		t.Errorf("%d open files after 200 cycles, %d before", after, files)
	}
	relaytest.Eventually(t, "the goroutines of the last cycle end", time.Second, func() bool {
		return runtime.NumGoroutine() <= goroutines
	})
	if n := r.records(t); n != 0 {
		t.Errorf("%d records left", n)
	}
}

func named(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

// addLink adds a link from inside the namespace, as tap devices need.
func addLink(t testing.TB, s *relaytest.Space, link netlink.Link) {
	t.Helper()
	err := s.Do(func() error {
		if err := s.NL.LinkAdd(link); err != nil {
			return err
		}
		if tun, ok := link.(*netlink.Tuntap); ok {
			for _, file := range tun.Fds {
				return file.Close()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", link.Attrs().Name, err)
	}
}

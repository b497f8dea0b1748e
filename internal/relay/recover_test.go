// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/tap"
)

func (r *running) list(t testing.TB) []relayapi.PortState {
	t.Helper()
	ports, err := r.client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func TestNextRelayAttachesByItself(t *testing.T) {
	for _, queues := range []int{1, 3} {
		w := newWire(t, queues)
		w.stop()
		if w.pod.Carrier(t, "tap1") {
			t.Fatal("the stopped relay still has the tap open")
		}
		w.running = startRelay(t, w.cfg.StateDir)
		s := w.state(t, w.port.ID)
		if diff := cmp.Diff(w.port, s.TapPort); diff != "" || !s.Attached {
			t.Errorf("attached %v, port (-want +got):\n%s", s.Attached, diff)
		}
		w.pod.Ping(t, twinV4)
		w.network.Ping(t, podV6)
	}
}

func TestRecoveryMakesNothing(t *testing.T) {
	pod, network, leaving := newSpace(t), newSpace(t), newSpace(t)
	r := startRelay(t, t.TempDir())
	ports := []relayapi.TapPort{
		{ID: "device gone", Pod: pod.Link("tap1"), Twin: network.Link("twin1"), Queues: 1},
		{ID: "namespace gone", Pod: leaving.Link("tap2"), Twin: network.Link("twin2"), Queues: 1},
		{ID: "there", Pod: pod.Link("tap3"), Twin: network.Link("twin3"), Queues: 1},
	}
	r.attach(t, ports...)
	network.Up(t, "twin1")
	if !network.Carrier(t, "twin1") {
		t.Fatal("the twin has no carrier")
	}
	r.stop()
	if err := pod.NL.LinkDel(pod.Device(t, "tap1")); err != nil {
		t.Fatal(err)
	}
	leaving.LetGo()
	if err := netns.Unpin(leaving.Path); err != nil {
		t.Fatal(err)
	}
	r = startRelay(t, r.cfg.StateDir)
	if got := r.list(t); len(got) != 1 || got[0].ID != "there" || !got[0].Attached {
		t.Errorf("ports %+v, want one", got)
	}
	if pod.Has(t, "tap1") || r.records(t) != 1 {
		t.Error("the device was made again, or its record kept")
	}
	if network.Carrier(t, "twin1") {
		t.Error("the twin of a missing device is open")
	}
}

func TestBrokenRecordsAreDropped(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"notes.txt":           "mine",
		"YQ.port.json.backup": "mine",
		"YQ.port.json":        `{"version":1,"port":{"id":"a"`,
		"Yg.port.json":        `{"version":2}`,
		"Yw.port.json":        `{"version":1,"port":{"id":"not c","pod":{"name":"a"},"twin":{"name":"b"},"queues":1}}`,
		"ZA.port.json.new":    `{"version":1}`,
		"%20&?.port.json":     `[]`,
		"empty.port.json":     "",
		"binary.port.json":    "\x00\x01",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := startRelay(t, dir)
	if got := r.list(t); len(got) != 0 {
		t.Errorf("ports %+v, want none", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"YQ.port.json.backup", "lock", "notes.txt", "relay.sock"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestRecoveryWaitsForTheFormerWorker: the kernel may still be closing the
// files of a worker that was killed.
func TestRecoveryWaitsForTheFormerWorker(t *testing.T) {
	w := newWire(t, 1)
	w.stop()
	held, err := tap.Attach(w.network.Link("twin1"), 1)
	if err != nil {
		t.Fatal(err)
	}
	events, err := nl.Subscribe(w.pod.Handle, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go func() {
		// The pod's tap gets and loses its carrier while the twin is busy.
		err := events.Run(ctx, func(nl.Event) { cancel() })
		released <- errors.Join(err, held.Close())
	}()
	w.running = startRelay(t, w.cfg.StateDir)
	if s := w.state(t, w.port.ID); !s.Attached {
		t.Errorf("state %+v", s)
	}
	if err := <-released; err != nil {
		t.Error(err)
	}
}

// TestPortThatStaysBusyIsKept: what may be healed later is not forgotten.
func TestPortThatStaysBusyIsKept(t *testing.T) {
	w := newWire(t, 1)
	w.stop()
	held, err := tap.Attach(w.network.Link("twin1"), 1)
	if err != nil {
		t.Fatal(err)
	}
	w.running = startRelay(t, w.cfg.StateDir)
	s := w.state(t, w.port.ID)
	if s.Attached || !strings.Contains(s.Reason, "twin1 in "+w.network.Path) || w.records(t) != 1 {
		t.Errorf("state %+v and %d records", s, w.records(t))
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	w.attach(t, w.port)
	w.pod.Ping(t, twinV4)
}

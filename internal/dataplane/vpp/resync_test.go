// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"context"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
)

// hits follows a watch until the test ends.
func (w *wired) hits() <-chan dataplane.Hit {
	w.t.Helper()
	hits := make(chan dataplane.Hit, 100)
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.driver.Watch(ctx, func(h dataplane.Hit) { hits <- h }) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Errorf("watch: %v", err)
		}
	})
	return hits
}

// await waits for a hit that is like the one described.
func await(t testing.TB, hits <-chan dataplane.Hit, what string, is func(dataplane.Hit) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case h := <-hits:
			if is(h) {
				return
			}
		case <-limit:
			t.Fatalf("no hit: %s", what)
		}
	}
}

func isBack(h dataplane.Hit) bool { return h.All && h.Away == nil }
func isAway(h dataplane.Hit) bool { return h.Away != nil }

// A VPP that comes back empty is told of, and filled again.
func TestRefill(t *testing.T) {
	w, s := onServer(t)
	w.add(1)
	w.add(2)
	hits := w.hits()
	await(t, hits, "there", isBack)
	for range 3 {
		s.Kill()
		await(t, hits, "away", isAway)
		s.Restart()
		await(t, hits, "back", isBack)
		if err := w.repair(); err != nil {
			t.Fatal(err)
		}
		if diff := w.differs(); diff != "" {
			t.Error(diff)
		}
	}
}

// So is a real one, and its pods are reached again.
func TestKilledVPP(t *testing.T) {
	w, p := onVPP(t)
	a := w.add(1)
	w.add(2)
	hits := w.hits()
	await(t, hits, "there", isBack)
	for range 3 {
		p.Kill()
		await(t, hits, "away", isAway)
		p.Start(t)
		await(t, hits, "back", isBack)
		start := time.Now()
		if err := w.repair(); err != nil {
			t.Fatal(err)
		}
		t.Logf("filled after %s", time.Since(start))
		if diff := w.differs(); diff != "" {
			t.Error(diff)
		}
		for _, line := range []string{"ping -c1 -W2 10.1.1.21", "ping -c3 -i0.3 -W2 -I tap1 10.1.1.22", "ping -c1 -W2 -I tap1 fd10:1:0:1::21"} {
			if err := w.run(a, line); err != nil {
				t.Error(err)
			}
		}
	}
}

// What somebody does to what is ours is seen, and undone.
func TestDrift(t *testing.T) {
	w, p := onVPP(t)
	a := w.add(1)
	eth0 := w.driver.PortName(a.ID, "eth0")
	for _, command := range []string{
		"set interface state " + eth0 + " down",
		"set interface mtu packet 1000 " + eth0,
		"set interface tag " + eth0 + " mine",
		"delete host-interface name " + eth0[len("host-"):],
		"set ip neighbor static del " + eth0 + " 10.1.1.11 02:fe:00:00:00:00",
		"set interface state loop0 down",
		"set interface state host-vpp2 down",
		"delete host-interface name vpp2",
	} {
		if out := p.Do(t, command); w.differs() == "" {
			t.Errorf("%s: %q: nothing differs", command, out)
		}
		if err := w.repair(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if diff := w.differs(); diff != "" {
			t.Errorf("%s:\n%s", command, diff)
		}
		if err := w.run(a, "ping -c1 -W2 172.30.1.2"); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

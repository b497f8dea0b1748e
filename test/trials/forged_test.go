// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
)

const (
	// attempts is how often each forgery is tried.
	attempts = 100

	forged note = "forged."
	honest note = "honest."
)

// neighborhood is a memif's application that forges, the gateway that it sees,
// and whom it pretends to be or wants to reach.
type neighborhood struct {
	own, local, gateway, victim, receiver host // local has a link-local address
}

// forgeries are frames of which none may have a consequence.
func (h neighborhood) forgeries() (frames [][]byte) {
	asVictim := host{mac: h.own.mac, v4: h.victim.v4, v6: h.victim.v6}
	asGateway := host{mac: h.own.mac, v4: h.gateway.v4, v6: h.gateway.v6}
	for _, as := range []host{asVictim, h.victim, asGateway} {
		frames = append(
			frames,
			forged.datagram4(as, h.gateway.mac, h.receiver.v4), forged.datagram6(as, h.gateway.mac, h.receiver.v6),
			forged.datagram4(as, h.gateway.mac, h.victim.v4), forged.datagram6(as, h.gateway.mac, h.victim.v6),
			forged.ping4(as, h.gateway), forged.ping6(as, h.gateway),
			forged.arp(arpRequest, as, h.gateway.v4), forged.arp(arpRequest, as, h.victim.v4), forged.arp(arpReply, as, as.v4),
			forged.solicit(as, h.gateway.v6), forged.solicit(as, h.victim.v6),
			forged.advertise(as, as.v6), forged.advertise(host{mac: as.mac, v6: h.local.v6}, as.v6),
		)
	}
	return append(
		frames,
		// Past the gateway, and questions that only the victim may answer.
		forged.datagram4(h.own, h.victim.mac, h.victim.v4), forged.datagram6(h.own, h.victim.mac, h.victim.v6),
		forged.datagram4(h.own, h.receiver.mac, h.receiver.v4), forged.datagram4(h.own, everybody(), h.receiver.v4),
		forged.arp(arpRequest, h.own, h.victim.v4), forged.solicit(h.local, h.victim.v6),
	)
}

// truths are frames of the same forms to which there are answers.
func (h neighborhood) truths() [][]byte {
	return [][]byte{
		honest.arp(arpReply, h.own, h.own.v4), honest.advertise(h.own, h.own.v6),
		honest.arp(arpRequest, h.own, h.gateway.v4), honest.solicit(h.own, h.gateway.v6),
		honest.datagram4(h.own, h.gateway.mac, h.receiver.v4), honest.datagram6(h.own, h.gateway.mac, h.receiver.v6),
		honest.datagram4(host{mac: h.victim.mac, v4: h.own.v4}, h.gateway.mac, h.receiver.v4), // a MAC ends at the gateway
		honest.ping4(h.own, h.gateway), honest.ping6(h.own, h.gateway),
	}
}

// TestForgedNeighbors: what a memif's application sends in another's name, or the
// gateway's, gets nowhere, and wins it none of the other's packets: each forgery
// is tried 100 times, while the switch has to ask anew where the other is, and
// everything that the switch sends is looked at.
func TestForgedNeighbors(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	robber, his := memifPod(n, "memif1/memif")
	victim, _ := memifPod(n, "memif1/memif")
	receiver := n.Pod("")
	receiver.MustAdd()
	mine, others := memifOf(t, n, robber), memifOf(t, n, victim)
	h := neighborhood{own: hostOf(mine), gateway: gatewayAt(t, mine), victim: hostOf(others)}
	h.local = host{mac: h.own.mac, v4: h.own.v4, v6: netip.MustParseAddr("fe80::bad")}
	for _, i := range n.Interfaces() {
		if i.Pod == receiver.Name {
			h.receiver = hostOf(i)
		}
	}
	defer victim.Echo()()
	app := robber.Connect(his)
	if app.Answer != "connected" {
		t.Fatal(app.Answer)
	}
	harness.Eventually(t, harness.Patience(waitForPod), func() error { return reach(receiver, h.victim) })
	own, err := netns.Own()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	seen := capture(t, own)

	forgeries := h.forgeries()
	for range attempts {
		run(t, "ip", "neigh", "flush", "dev", others.Port)
		var sending errgroup.Group
		sending.Go(func() error { return sendAll(app, forgeries) })
		if err := errors.Join(reach(receiver, h.victim), sending.Wait()); err != nil {
			t.Fatal(err)
		}
	}
	// The application is somewhere else, as far as the switch knows, and tells.
	for _, address := range []netip.Addr{h.own.v4, h.own.v6} {
		run(t, "ip", "neigh", "replace", address.String(), "dev", mine.Port, "lladdr", "02:00:00:00:00:99", "nud", "stale")
	}
	if err := sendAll(app, h.truths()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Patience(waitForPod), func() error { return h.answered(seen.frames(), mine) })
	h.expectNone(t, seen.frames(), mine, others)
	neighbors := run(t, "ip", "neigh", "show", "dev", mine.Port)
	if strings.Contains(neighbors, h.victim.v4.String()+" ") || strings.Contains(neighbors, h.victim.v6.String()+" ") {
		t.Errorf("the switch takes the one for the other:\n%s", neighbors)
	}
}

// answered reports a truth that had no consequence; the last had it last.
func (h neighborhood) answered(frames []captured, mine inspect.Interface) error {
	var datagrams, answers, tells int
	for _, f := range frames {
		switch {
		case !f.leaves:
		case bytes.Contains(f.frame, []byte(honest)) && f.port != mine.Port:
			datagrams++
		case [6]byte(f.frame) != h.own.mac || f.port != mine.Port:
		case f.isEchoReply() && bytes.Contains(f.frame, []byte(honest)):
			answers++
		case f.isARP(arpReply) || f.isICMP6(advertisement):
			tells++
		}
	}
	if datagrams < 3 || answers < 2 || tells < 2 {
		return fmt.Errorf("%d of 3 datagrams arrived, %d of 2 pings were answered, the gateway told of itself %d times of 2", datagrams, answers, tells)
	}
	return nil
}

// expectNone fails where a forgery did not come to the switch, or has left it, or
// something of the victim's went to the forger.
func (h neighborhood) expectNone(t *testing.T, frames []captured, mine, others inspect.Interface) {
	t.Helper()
	came, reached := 0, map[string]int{}
	for _, f := range frames {
		has := func(a netip.Addr) bool { return bytes.Contains(f.frame, a.AsSlice()) }
		switch {
		case !f.leaves && f.port == mine.Port && bytes.Contains(f.frame, []byte(forged)):
			came++
		case !f.leaves:
		case bytes.Contains(f.frame, []byte(forged)):
			reached["forged frames leave at "+f.port]++
		case [6]byte(f.frame[6:]) == h.victim.mac:
			reached["frames from the victim's MAC leave at "+f.port]++
		case f.port == mine.Port && (has(h.victim.v4) || has(h.victim.v6)):
			reached["frames about the victim go to the forger"]++
		case f.port == others.Port && (f.isARP(arpReply) || f.isICMP6(advertisement)):
			reached["answers go to the victim, which has not asked"]++
		case f.port == others.Port && bytes.Contains(f.frame, h.own.mac[:]):
			reached["frames about the forger's MAC go to the victim"]++
		}
	}
	if want := attempts * len(h.forgeries()); came != want {
		t.Errorf("%d forged frames came to the switch, want %d", came, want)
	}
	if len(reached) != 0 {
		t.Errorf("forgeries had consequences: %v", reached)
	}
	t.Logf("%d forgeries, tried %d times each: %d came to the switch, and had these consequences: %v", len(h.forgeries()), attempts, came, reached)
}

// TestForgedAtStub: at the stub network, where no address is anybody's, nothing
// that a memif's application sends gets anywhere.
func TestForgedAtStub(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	robber, his := memifPod(n, "memif1/memif/stub")
	victim, _ := memifPod(n, "memif1/memif/stub")
	mine, others := memifOf(t, n, robber), memifOf(t, n, victim)
	stub, err := netns.Open(filepath.Join(n.Config.RunDir, "netns", "stub"))
	if err != nil {
		t.Fatal(err)
	}
	defer stub.Close()
	seen := capture(t, stub)
	app := robber.Connect(his)
	if app.Answer != "connected" {
		t.Fatal(app.Answer)
	}
	at := func(mac [6]byte, last string) host {
		return host{mac: mac, v4: netip.MustParseAddr("10.9.9." + last), v6: netip.MustParseAddr("2001:db8::" + last)}
	}
	h := neighborhood{
		own: at(mine.MAC, "1"), victim: at(others.MAC, "2"), receiver: at(everybody(), "3"), gateway: at(everybody(), "4"),
	}
	h.local = host{mac: h.own.mac, v4: h.own.v4, v6: netip.MustParseAddr("fe80::bad")}
	for range attempts {
		if err := sendAll(app, h.forgeries()); err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		came := 0
		for _, f := range seen.frames() {
			if bytes.Contains(f.frame, []byte(forged)) && !f.leaves {
				came++
			}
		}
		if want := attempts * len(h.forgeries()); came != want {
			return fmt.Errorf("%d frames came to the stub network, want %d", came, want)
		}
		return nil
	})
	for _, f := range seen.frames() {
		if f.leaves && bytes.Contains(f.frame, []byte(forged)) {
			t.Fatalf("a frame leaves the stub network: % x", f.frame)
		}
	}
}

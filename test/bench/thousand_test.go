// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"testing"
	"time"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// thousand is what has to do with 1,000 interfaces that are there already: P5
// (the ADD of another pod), P8 (a restarted agent) and the standing part of P10.
func thousand(t *testing.T, s *sheet) {
	t.Helper()
	big, small := startNode(t), startNode(t)
	idle := memory(t, big.Agent)
	s.Value("P10 agent idle, RssAnon", figure.MiB(idle), " MiB", figure.AtMost(30))
	begin := time.Now()
	there := big.fill(s.existing)
	built := time.Since(begin)
	filled := memory(t, big.Agent)
	count := float64(s.existing * interfaces)
	s.Value("P10 agent per interface, RssAnon", float64(filled-idle)/1024/count, " KiB", figure.AtMost(16))
	s.Note("with %.0f interfaces: agent %.1f MiB, relay %.1f MiB; built in %s", count, figure.MiB(filled), figure.MiB(relayMemory(t, big.Relay)), built.Round(time.Millisecond))
	small.fill(2)

	flat(t, s, big, small)
	restart(t, s, big, there, built)
	rested := memory(t, big.Agent)
	s.Value("P10 agent per interface, RssAnon, after a restart", float64(rested-idle)/1024/count, " KiB", figure.AtMost(16))
}

// flat is P5: what is there already does not make an ADD dearer.
func flat(t *testing.T, s *sheet, big, small *node) {
	t.Helper()
	many, few := &figure.Arm{Name: "with 1,000 interfaces"}, &figure.Arm{Name: "with 10"}
	onBig, onSmall := big.pool(s.pairs), small.pool(s.pairs)
	for i := range s.pairs {
		many.Took(big.mustAdd(onBig[i]))
		few.Took(small.mustAdd(onSmall[i]))
		// So that both nodes stay as full as they are.
		big.mustDel(onBig[i])
		small.mustDel(onSmall[i])
		big.waitGone(s.existing)
		small.waitGone(2)
	}
	s.Ratio("P5 ADD with 1,000 interfaces vs with 10", many.Median()/few.Median(), figure.AtMost(1.3), "ms", many, few)
}

// restart is P8: a new agent reads everything back, and changes nothing.
func restart(t *testing.T, s *sheet, n *node, pods []*harness.Pod, built time.Duration) {
	t.Helper()
	ready, dump := &figure.Arm{Name: "agent ready"}, &figure.Arm{Name: "dump"}
	changes := 0
	harness.WaitCalm(t, n.Inside, paths(pods, func(p *harness.Pod) string { return p.Netns })...)
	for range s.restarts {
		n.Agent.Kill()
		seen := harness.Watch(t, n.Inside)
		begin := time.Now()
		n.StartAgent()
		n.WaitReady()
		ready.Took(time.Since(begin))
		seen.End()
		for kind, count := range seen.Kinds {
			s.Note("P8: %d events of type %d (RTM_, or of nftables)", count, kind)
			changes += count
		}

		begin = time.Now()
		dumpAll(t, n, pods)
		dump.Took(time.Since(begin))
	}
	s.Ratio("P8 agent restart with 1,000 interfaces vs one netlink dump of them", ready.Median()/dump.Median(), figure.AtMost(5), "ms", ready, dump)
	s.Value("P8 changes in the kernel by restarts", float64(changes), "", figure.AtMost(0))
	if changes > 0 {
		t.Errorf("%d changes in the kernel by restarts", changes)
	}
	s.Value("P8 building them vs the restart", float64(built.Milliseconds())/ready.Median(), "x", figure.AtLeast(20))
}

// dumpAll lists everything that an agent has to compare, in the node and in
// every pod.
func dumpAll(t *testing.T, n *node, pods []*harness.Pod) {
	t.Helper()
	dumpSpace(t, n.Inside)
	for _, p := range pods {
		ns, err := netns.Open(p.Netns)
		if err != nil {
			t.Fatal(err)
		}
		dumpSpace(t, ns)
		_ = ns.Close()
	}
}

func dumpSpace(t *testing.T, ns *netns.Handle) {
	t.Helper()
	socket, err := nl.NewSocket(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	const ours = 80 // routing protocol
	for _, list := range []func() error{
		func() error { _, err := socket.Links(); return err },
		func() error { _, err := socket.Addresses(); return err },
		func() error { _, err := socket.Routes(ours); return err },
		func() error { _, err := socket.Rules(ours); return err },
		func() error { _, err := socket.Neighbors(); return err },
	} {
		if err := list(); err != nil {
			t.Fatal(err)
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"regexp"
	"testing"
	"time"

	vppprocess "github.com/polynic/polynic/test/vpp"
)

// sleeps waits until VPP polls nothing, with so many interfaces that could be polled.
func sleeps(t *testing.T, p *vppprocess.Process, connected int) {
	t.Helper()
	waiting := regexp.MustCompile(`(?m)^ *(memif|tap)\S+ queue \d+ \(interrupt\)`)
	polled := regexp.MustCompile(`\(polling\)`)
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		said := p.Do(t, "show interface rx-placement")
		if len(waiting.FindAllString(said, -1)) >= connected && !polled.MatchString(said) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("VPP polls:\n%s", said)
		}
	}
}

// VPP waits for packets, and polls for none: also after it was killed, and where the
// agent found the memifs connected.
func TestVPPSleeps(t *testing.T) {
	w, p := onVPP(t)
	hits := w.hits()
	await(t, hits, "there", isBack)
	w.add(1)
	const taps = 2
	sleeps(t, p, taps)
	p.Kill()
	await(t, hits, "away", isAway)
	p.Start(t)
	await(t, hits, "back", isBack)
	if err := w.repair(); err != nil {
		t.Fatal(err)
	}
	sleeps(t, p, taps)
}

// What was connected while there was no agent is found.
func TestVPPSleepsWithANewAgent(t *testing.T) {
	w, p := onVPP(t)
	w.add(1) // nobody watches
	for _, name := range regexp.MustCompile(`memif\d+/\d+`).FindAllString(p.Do(t, "show interface rx-placement"), -1) {
		p.Do(t, "set interface rx-mode "+name+" polling")
	}
	const taps = 2
	w.tapsConnected(taps)
	w.reopen()
	await(t, w.hits(), "there", isBack)
	sleeps(t, p, taps)
}

// tapsConnected waits until the relay has so many taps joined to VPP.
func (w *wired) tapsConnected(n int) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := w.Relay.List(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		connected := 0
		for _, p := range list {
			if p.Link != nil && p.Link.Connected {
				connected++
			}
		}
		if connected >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%d taps of %d are connected", connected, n)
		}
	}
}

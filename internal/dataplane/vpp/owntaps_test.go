// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// device is the number of a pod's tap1; another device has another.
func (w *wired) device(a model.Attachment) int {
	w.t.Helper()
	h, err := netns.OpenExact(a.Netns)
	if err != nil {
		w.t.Fatal(err)
	}
	defer h.Close()
	index := 0
	err = h.Do(func() error {
		link, err := net.InterfaceByName("tap1")
		if err == nil {
			index = link.Index
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return index
}

// relayed is how many taps the relay holds.
func (w *wired) relayed() int {
	w.t.Helper()
	list, err := w.Relay.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// remove removes what a pod has.
func (w *wired) remove(a model.Attachment) {
	w.t.Helper()
	var gone []desired.Object
	for key, o := range w.want {
		if key.Owner == a.ID {
			gone = append(gone, o)
			delete(w.want, key)
		}
	}
	if err := w.change(a.ID, desired.Diff(desired.NewSet(gone...), nil)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.driver.Reap(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// Where VPP can, it makes the taps in the pods itself; one outlives VPP, and nothing
// of one that is removed stays.
func TestTapsOfVPP(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{VhostNet: true})
	w := newWired(t, s.Socket, s.Stats)
	a := w.add(1)
	if name := w.driver.PortName(a.ID, "tap1"); !strings.HasPrefix(name, "tap") || w.relayed() != 0 {
		t.Errorf("the tap is %s, and the relay has %d", name, w.relayed())
	}
	before := w.device(a)
	hits := w.hits()
	await(t, hits, "there", isBack)
	s.Kill()
	await(t, hits, "away", isAway)
	s.Restart()
	await(t, hits, "back", isBack)
	if err := w.repair(); err != nil {
		t.Fatal(err)
	}
	if after := w.device(a); after != before {
		t.Errorf("the pod's device is number %d, and was %d before VPP was started again", after, before)
	}
	if diff := w.differs(); diff != "" {
		t.Error(diff)
	}
	// Somebody in the pod removes it: VPP is told of no such thing.
	if err := w.run(a, "ip link del tap1"); err != nil {
		t.Fatal(err)
	}
	if err := w.repair(); err != nil {
		t.Fatal(err)
	}
	if w.device(a) == before {
		t.Error("the device that was removed is there")
	}
	if diff := w.differs(); diff != "" {
		t.Error(diff)
	}
	w.remove(a)
	if err := w.run(a, "! ip link show tap1 && ! ip link show tap2"); err != nil {
		t.Error(err)
	}
}

// A VPP that can make taps, after one that could not, takes them over from the relay,
// and one that can not, after one that could, leaves them to it.
func TestTapsChangeHands(t *testing.T) {
	without, with := vpptest.Start(t, vpptest.Config{}), vpptest.Start(t, vpptest.Config{VhostNet: true})
	w := newWired(t, without.Socket, without.Stats)
	a := w.add(1)
	taps := w.relayed()
	for _, c := range []struct {
		server *vpptest.Server
		want   int
	}{{with, 0}, {without, taps}} {
		without.Restart()
		with.Restart()
		w.api, w.stats = c.server.Socket, c.server.Stats
		w.reopen()
		if err := w.repair(); err != nil {
			t.Fatal(err)
		}
		if diff := w.differs(); diff != "" {
			t.Error(diff)
		}
		if got := w.relayed(); got != c.want || taps == 0 {
			t.Errorf("the relay has %d taps, and should have %d", got, c.want)
		}
	}
	w.remove(a)
	if w.relayed() != 0 {
		t.Error("the relay has taps of a pod that is gone")
	}
}

// What is another's is left alone.
func TestTapOfAnothers(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{VhostNet: true})
	w := newWired(t, s.Socket, s.Stats)
	a := w.attachment(1)
	if err := w.run(a, "ip tuntap add tap1 mode tap multi_queue"); err != nil {
		t.Fatal(err)
	}
	objects, err := w.node.Attachment(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.change(a.ID, desired.Diff(nil, desired.NewSet(objects...))); err == nil || !strings.Contains(err.Error(), "tap1 in pod default/pod-1: link tap1: ") {
		t.Errorf("a port with the name of another's tap: %v", err)
	}
}

// TCP in large segments between the taps of two pods, by VPP's own, and by the same
// devices after VPP was killed.
func TestOwnTaps(t *testing.T) {
	need.Command(t, need.Kernel, "iperf3")
	need.File(t, need.Machine, "/dev/vhost-net")
	w, p := onVPP(t)
	a, b := w.add(1), w.add(2)
	if name := w.driver.PortName(a.ID, "tap1"); !strings.HasPrefix(name, "tap") || w.relayed() != 0 {
		t.Fatalf("the tap is %s, and the relay has %d", name, w.relayed())
	}
	before := w.device(a)
	for round := range 2 {
		for n, target := range []string{"10.1.1.22", "fd10:1:0:1::22"} {
			for _, line := range []string{"ping -c1 -W5 -I tap1 " + target, "ping -c1 -W5 -I tap1 -s 1400 -M do " + target} {
				if err := w.run(a, line); err != nil {
					t.Error(err)
				}
			}
			port := 6000 + 2*round + n
			if err := w.run(b, fmt.Sprintf("iperf3 -s -1 -D -p %d --logfile /dev/null", port)); err != nil {
				t.Fatal(err)
			}
			const megabytes = 30
			from := strings.Replace(target, "22", "12", 1)
			if err := w.run(a, fmt.Sprintf("timeout 60 iperf3 -c %s -B %s -p %d -n %dM", target, from, port, megabytes)); err != nil {
				t.Error(err)
			}
		}
		large := w.large(b)
		t.Logf("round %d: %d bytes a packet", round, large)
		if large < 3000 {
			t.Errorf("the receiver's tap took packets of %d bytes: not those of GSO", large)
		}
		if round == 1 {
			break
		}
		p.Kill()
		p.Start(t)
		if err := w.repair(); err != nil {
			t.Fatal(err)
		}
		if after := w.device(a); after != before {
			t.Errorf("the pod's device is number %d, and was %d before VPP was killed", after, before)
		}
		if diff := w.differs(); diff != "" {
			t.Error(diff)
		}
	}
	if t.Failed() {
		t.Log(p.Do(t, "show interface"), p.Do(t, "show errors"), p.Do(t, "show tap"))
	}
}

// large is the mean size of the packets that a pod's tap1 received.
func (w *wired) large(a model.Attachment) int {
	w.t.Helper()
	link, err := w.In(a.Netns).LinkByName("tap1")
	if err != nil {
		w.t.Fatal(err)
	}
	s := link.Attrs().Statistics
	return int(s.RxBytes / max(s.RxPackets, 1))
}

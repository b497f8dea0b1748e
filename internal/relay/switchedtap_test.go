// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

// switched is a pod's tap, the relay, and a switch that hands on what it gets to
// the kernel of a namespace of its own, whose interface out1 has addresses.
type switched struct {
	*running
	pod, network *relaytest.Space
	port         relayapi.TapPort
	out          *tap.Device
}

// newSwitched attaches a tap whose switch is not there yet.
func newSwitched(t testing.TB, queues int) *switched {
	t.Helper()
	s := &switched{pod: newSpace(t), network: newSpace(t), running: startRelay(t, t.TempDir())}
	s.port = relayapi.TapPort{ID: "pod/tap1", Pod: s.pod.Link("tap1"), Queues: queues, Switch: s.peer(t.TempDir())}
	s.attach(t, s.port)
	s.pod.Up(t, "tap1")
	s.pod.Address(t, "tap1", podV4, twinV4)
	s.pod.Address(t, "tap1", podV6, twinV6)
	link := s.network.Link("out1")
	link.MAC = twinMAC
	var err error
	if s.out, err = tap.Create(link, queues); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.out.Close() })
	s.network.Up(t, "out1")
	s.network.Address(t, "out1", twinV4, podV4)
	s.network.Address(t, "out1", twinV6, podV6)
	return s
}

func (s *switched) peer(folder string) relayapi.MemifPeer {
	return relayapi.MemifPeer{Socket: filepath.Join(folder, "taps.sock"), ID: 7, Secret: secret, RingSize: 512, MTU: 1500}
}

// begin starts the switch, which lasts until it is ended.
func (s *switched) begin(t testing.TB, at relayapi.MemifPeer) (end func()) {
	t.Helper()
	listener, err := memif.Listen(memif.ListenConfig{Address: at.Socket, Application: "switch"})
	if err != nil {
		t.Fatal(err)
	}
	port, err := listener.Add(memif.Config{ID: at.ID, Secret: memif.Secret(at.Secret), Name: "memif1/7"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- rings.NewTwin(rings.TwinConfig{Interface: port, Queues: s.out.Queues(), MaxPacket: memif.MaxPacket}).Run(ctx)
	}()
	gone := false
	end = func() {
		if gone {
			return
		}
		gone = true
		cancel()
		if err := errors.Join(<-ended, listener.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return end
}

// connected waits for the tap to be connected, or not.
func (s *switched) connected(t testing.TB, want bool) {
	t.Helper()
	relaytest.Eventually(t, fmt.Sprint("connected: ", want), 5*time.Second, func() bool {
		p := s.state(t, s.port.ID)
		return p.Attached && p.Link.Connected == want
	})
}

func TestSwitchedTapCarriesWhatATwinDoes(t *testing.T) {
	for _, queues := range []int{1, 3} {
		s := newSwitched(t, queues)
		s.begin(t, s.port.Switch)
		s.connected(t, true)
		for _, addr := range []string{twinV4, twinV6} {
			s.pod.Ping(t, addr)
			relaytest.Transfer(t, s.pod, s.network, addr, 16<<20)
		}
		for _, addr := range []string{podV4, podV6} {
			s.network.Ping(t, addr)
			relaytest.Transfer(t, s.network, s.pod, addr, 16<<20)
		}
		const least = 32 << 20
		got := s.counted(t, s.port.ID, func(s relayapi.PortState) bool { return s.RxBytes >= least && s.TxBytes >= least })
		want := &relayapi.SwitchLink{Connected: true, Switch: "switch", Interface: "memif1/7", Queues: queues, RingSize: 512, Connects: 1}
		got.Link.LastEnd = "" // from before there was a switch
		if diff := cmp.Diff(want, got.Link); diff != "" {
			t.Errorf("link (-want +got):\n%s", diff)
		}
		if got.RxBytes/got.RxFrames > 1514 {
			t.Errorf("after 32 MiB each way, not in packets of the MTU: %+v", got)
		}
		if got.Switch.Secret != "" {
			t.Error("the secret is told")
		}
	}
}

// TestSwitchedTapCutsUDP: a datagram that the pod's kernel leaves to be cut arrives
// in pieces with checksums.
func TestSwitchedTapCutsUDP(t *testing.T) {
	s := newSwitched(t, 1)
	s.begin(t, s.port.Switch)
	s.connected(t, true)
	const segment, segments = 1200, 40
	payload := random(segment * segments)
	receiver := relaytest.ListenUDP(t, s.network, twinV6)
	relaytest.SendSegmented(t, s.pod, receiver.LocalAddr().(*net.UDPAddr), payload, segment)
	if err := receiver.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2*segment)
	for i := range segments {
		n, err := receiver.Read(buffer)
		if err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		if !bytes.Equal(buffer[:n], payload[i*segment:(i+1)*segment]) {
			t.Fatalf("datagram %d of %d bytes differs", i, n)
		}
	}
}

// TestSwitchGoesAndComes: the tap is found again by itself, and meanwhile the pod
// has its carrier and what it sends is counted.
func TestSwitchGoesAndComes(t *testing.T) {
	s := newSwitched(t, 1)
	for range 3 {
		if p := s.state(t, s.port.ID); !p.Attached || p.Link.Connected || !s.pod.Carrier(t, "tap1") {
			t.Fatalf("without a switch: carrier %v, %+v, %+v", s.pod.Carrier(t, "tap1"), p, p.Link)
		}
		drops := s.state(t, s.port.ID).Drops
		sendUDP(t, s.pod, twinV4, 1) // at least the ARP request for it goes out
		relaytest.Eventually(t, "a frame is dropped", 2*time.Second, func() bool { return s.state(t, s.port.ID).Drops > drops })
		end := s.begin(t, s.port.Switch)
		s.connected(t, true)
		s.pod.Ping(t, twinV4)
		s.network.Ping(t, podV6)
		end()
		s.connected(t, false)
	}
	if l := s.state(t, s.port.ID).Link; l.Connects != 3 || l.LastEnd == "" {
		t.Errorf("link %+v, want three connections and why there is none", l)
	}
}

// TestSwitchAwayIsNoWork: to wait for a switch takes next to no processor time.
func TestSwitchAwayIsNoWork(t *testing.T) {
	pod, r := newSpace(t), startRelay(t, t.TempDir())
	for i := range 20 {
		r.attach(t, relayapi.TapPort{
			ID: fmt.Sprint("tap", i), Pod: pod.Link(fmt.Sprint("tap", i)), Queues: 1,
			Switch: relayapi.MemifPeer{Socket: filepath.Join(t.TempDir(), "taps.sock"), ID: uint32(i), RingSize: 512, MTU: 1500},
		})
	}
	before := cpu(t)
	timer := time.NewTimer(time.Second)
	<-timer.C
	if used := cpu(t) - before; used > 200*time.Millisecond {
		t.Errorf("%v of processor time in a second for 20 taps without a switch", used)
	}
}

// cpu is what this process has used so far.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestNextRelayConnectsToTheSwitch(t *testing.T) {
	s := newSwitched(t, 2)
	s.begin(t, s.port.Switch)
	s.connected(t, true)
	s.stop()
	if s.pod.Carrier(t, "tap1") {
		t.Fatal("the stopped relay still has the tap open")
	}
	s.running = startRelay(t, s.cfg.StateDir)
	s.connected(t, true)
	s.pod.Ping(t, twinV4)
	s.network.Ping(t, podV6)
}

// TestSwitchedTapIsAttachedOnce: attached again it is left alone; with another
// switch it goes there; detached it leaves the switch, and its device.
func TestSwitchedTapIsAttachedOnce(t *testing.T) {
	s := newSwitched(t, 1)
	s.begin(t, s.port.Switch)
	s.connected(t, true)
	again := s.port
	again.Pod.Inode = 0
	s.attach(t, again)
	if l := s.state(t, s.port.ID).Link; !l.Connected || l.Connects != 1 {
		t.Errorf("attached again: %+v", l)
	}
	s.port.Switch = s.peer(t.TempDir())
	s.attach(t, s.port)
	s.connected(t, false)
	s.begin(t, s.port.Switch)
	s.connected(t, true)
	files := relaytest.OpenFiles(t)
	if err := s.client.Detach(t.Context(), []string{s.port.ID}); err != nil {
		t.Fatal(err)
	}
	relaytest.Eventually(t, "both ends have closed their files", time.Second, func() bool { return relaytest.OpenFiles(t) < files-2 })
	if s.pod.Carrier(t, "tap1") || s.records(t) != 0 {
		t.Error("the tap is open, or recorded, after it was detached")
	}
}

func TestSwitchedTapFails(t *testing.T) {
	for name, do := range map[string]func(s *switched) error{
		"the device is deleted": func(s *switched) error { return s.pod.NL.LinkDel(s.pod.Device(t, "tap1")) },
		"the namespace is gone": func(s *switched) error {
			defer s.pod.LetGo()
			return netns.Unpin(s.pod.Path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSwitched(t, 1)
			s.begin(t, s.port.Switch)
			s.connected(t, true)
			events := s.watch(t)
			if err := do(s); err != nil {
				t.Fatal(err)
			}
			e := expect(t, events, relayapi.EventPortFailed)
			p := s.state(t, s.port.ID)
			if p.Attached || p.Reason != e.Reason || p.Reason == "" || p.Link.Connected || s.records(t) != 0 {
				t.Errorf("event %+v, state %+v, %+v, %d records", e, p, p.Link, s.records(t))
			}
		})
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
)

const (
	podV4, twinV4 = "10.77.0.2", "10.77.0.1"
	podV6, twinV6 = "fd77::2", "fd77::1"
)

// wire is one attached port with addresses at both ends: pod, relay, network.
type wire struct {
	*running
	pod, network *relaytest.Space
	port         relayapi.TapPort
}

func newWire(t testing.TB, queues int) *wire {
	t.Helper()
	w := &wire{pod: newSpace(t), network: newSpace(t), running: startRelay(t, t.TempDir())}
	w.port = relayapi.TapPort{ID: "pod/tap1", Pod: w.pod.Link("tap1"), Twin: w.network.Link("twin1"), Queues: queues}
	w.attach(t, w.port)
	w.configure(t)
	return w
}

func (w *wire) configure(t testing.TB) {
	t.Helper()
	w.pod.Up(t, "tap1")
	w.network.Up(t, "twin1")
	w.pod.Address(t, "tap1", podV4, twinV4)
	w.pod.Address(t, "tap1", podV6, twinV6)
	w.network.Address(t, "twin1", twinV4, podV4)
	w.network.Address(t, "twin1", twinV6, podV6)
}

func TestPing(t *testing.T) {
	w := newWire(t, 1)
	for _, addr := range []string{twinV4, twinV6} {
		w.pod.Ping(t, addr)
	}
	for _, addr := range []string{podV4, podV6} {
		w.network.Ping(t, addr)
	}
	w.counted(t, w.port.ID, func(s relayapi.PortState) bool {
		return s.Attached && s.RxFrames >= 4 && s.TxFrames >= 4 && s.RxBytes >= 4*98
	})
}

func TestTCPContentInLargeFrames(t *testing.T) {
	w := newWire(t, 1)
	for _, listen := range []string{twinV4, twinV6} {
		t.Run(listen, func(t *testing.T) {
			before := w.state(t, w.port.ID)
			const size = 32 << 20
			relaytest.Transfer(t, w.pod, w.network, listen, size)
			after := w.counted(t, w.port.ID, func(s relayapi.PortState) bool { return s.RxBytes-before.RxBytes >= size })
			frames, octets := after.RxFrames-before.RxFrames, after.RxBytes-before.RxBytes
			if octets/frames < 20_000 {
				t.Errorf("%d bytes in %d frames, mean %d; want at least %d in frames of many times the MTU",
					octets, frames, octets/frames, size)
			}
		})
	}
}

func TestSeveralQueues(t *testing.T) {
	const queues = 4
	w := newWire(t, queues)
	for _, link := range []netlink.Link{w.pod.Device(t, "tap1"), w.network.Device(t, "twin1")} {
		if tun, ok := link.(*netlink.Tuntap); !ok || tun.Queues != queues {
			t.Errorf("%+v: want a tap with %d queues open", link, queues)
		}
	}
	// Enough flows for every queue to get some.
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			relaytest.Transfer(t, w.pod, w.network, twinV4, 1<<20)
			relaytest.Transfer(t, w.network, w.pod, podV6, 1<<20)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	w.counted(t, w.port.ID, func(s relayapi.PortState) bool { return s.RxBytes >= 8<<20 && s.TxBytes >= 8<<20 })
}

// TestTwinIsDownForAWhile: what the twin does not take is dropped and counted,
// and nothing else is the matter.
func TestTwinIsDownForAWhile(t *testing.T) {
	w := newWire(t, 1)
	twin := w.network.Device(t, "twin1")
	if err := w.network.NL.LinkSetDown(twin); err != nil {
		t.Fatal(err)
	}
	err := w.pod.Do(func() error {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", net.JoinHostPort(twinV4, "9"))
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte("lost")) // at least the ARP request for it goes out
		return errors.Join(err, conn.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	relaytest.Eventually(t, "a frame is dropped", 2*time.Second, func() bool {
		s := w.state(t, w.port.ID)
		return s.Attached && s.Drops > 0
	})
	w.network.Up(t, "twin1")
	err = w.network.NL.RouteReplace(&netlink.Route{
		LinkIndex: twin.Attrs().Index, Dst: netlink.NewIPNet(net.ParseIP(podV4)), Scope: netlink.SCOPE_LINK,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.network.Ping(t, podV4)
}

// TestUDPSegmentation sends one large datagram to be cut up by the kernel
// (UDP_SEGMENT): it crosses the relay in one piece, with the checksum of each
// piece still to be filled in.
func TestUDPSegmentation(t *testing.T) {
	w := newWire(t, 1)
	const segment, segments = 1200, 40
	payload := random(segment * segments)
	for _, addr := range []string{twinV4, twinV6} {
		t.Run(addr, func(t *testing.T) {
			before := w.state(t, w.port.ID)
			receiver := relaytest.ListenUDP(t, w.network, addr)
			relaytest.SendSegmented(t, w.pod, receiver.LocalAddr().(*net.UDPAddr), payload, segment)
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
			if frames := w.state(t, w.port.ID).RxFrames - before.RxFrames; frames > segments/2 {
				t.Errorf("%d frames crossed for one send of %d segments", frames, segments)
			}
		})
	}
}

func random(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{2})
	_, _ = source.Read(data)
	return data
}

// sendUDP sends small datagrams that nobody answers.
func sendUDP(t testing.TB, from *relaytest.Space, addr string, n int) {
	t.Helper()
	conn, err := from.DialUDP(t.Context(), net.JoinHostPort(addr, "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range n {
		if _, err := conn.Write([]byte("to nobody")); err != nil {
			t.Fatal(err)
		}
	}
}

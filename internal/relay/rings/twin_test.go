// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appV4, twinV4 = "10.79.0.2", "10.79.0.1"
	appV6, twinV6 = "fd79::2", "fd79::1"
	maxPacket     = 1500 + 14 + 8
)

var (
	appMAC  = model.MAC{2, 0, 0, 0, 0, 2}
	twinMAC = model.MAC{2, 0, 0, 0, 0, 1}
)

func newSpace(t testing.TB) *relaytest.Space {
	t.Helper()
	need.Tun(t)
	return relaytest.NewSpace(t)
}

// device makes a tap that is up.
func device(t testing.TB, s *relaytest.Space, name string, mac model.MAC, queues int) *tap.Device {
	t.Helper()
	link := s.Link(name)
	link.MAC = mac
	d, err := tap.Create(link, queues)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Up(t, name)
	return d
}

// run moves packets until the test ends.
func run(t testing.TB, c rings.TwinConfig) *rings.Twin {
	t.Helper()
	twin := rings.NewTwin(c)
	during(t, twin.Run)
	return twin
}

// during runs f until the test ends.
func during(t testing.TB, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("does not end")
		}
	})
}

// pair makes a memif and gives the master's and the slave's end, connected.
func pair(t testing.TB, c memif.Config) (master, slave *memif.Interface) {
	t.Helper()
	l, err := memif.Listen(memif.ListenConfig{Address: filepath.Join(t.TempDir(), "memif.sock")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if master, err = l.Add(c); err != nil {
		t.Fatal(err)
	}
	if slave, err = memif.Dial(l.Addr().String(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	connected(t, slave)
	connected(t, master)
	return master, slave
}

func connected(t testing.TB, i *memif.Interface) *memif.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := i.Connected(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// way is: application's tap - slave - master - twin. The application is a Twin
// too: one that brings the memory.
type way struct {
	pod, network  *relaytest.Space
	master, slave *memif.Interface
	relay, app    *rings.Twin
	twin          *tap.Device
}

func newWay(t testing.TB, c memif.Config, queues int) *way {
	t.Helper()
	w := &way{pod: newSpace(t), network: newSpace(t)}
	c.MaxPacket = maxPacket
	w.twin = device(t, w.network, "twin1", twinMAC, queues)
	app := device(t, w.pod, "app1", appMAC, queues)
	w.master, w.slave = pair(t, c)
	w.relay = run(t, rings.TwinConfig{
		Interface: w.master, Queues: w.twin.Queues(), MaxPacket: maxPacket, Mode: c.Mode, Near: twinMAC, Far: appMAC,
	})
	w.app = run(t, rings.TwinConfig{
		Interface: w.slave, Queues: app.Queues(), MaxPacket: maxPacket, Mode: c.Mode, Near: appMAC, Far: twinMAC,
	})
	w.pod.Address(t, "app1", appV4, twinV4)
	w.pod.Address(t, "app1", appV6, twinV6)
	w.network.Address(t, "twin1", twinV4, appV4)
	w.network.Address(t, "twin1", twinV6, appV6)
	w.pod.Neighbor(t, "app1", twinV4, twinMAC)
	w.pod.Neighbor(t, "app1", twinV6, twinMAC)
	w.network.Neighbor(t, "twin1", appV4, appMAC)
	w.network.Neighbor(t, "twin1", appV6, appMAC)
	return w
}

// Content arrives both ways, in packets on the ring and in large frames at the
// kernel's.
func TestTCP(t *testing.T) {
	for name, c := range map[string]struct {
		memif.Config
		queues int
	}{
		"Ethernet":        {memif.Config{}, 1},
		"IP":              {memif.Config{Mode: memif.IP}, 1},
		"queues":          {memif.Config{QueuePairs: 3}, 2},
		"chains":          {memif.Config{BufferSize: 512, RingSize: 64}, 1},
		"two slots alone": {memif.Config{RingSize: 2}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWay(t, c.Config, c.queues)
			const size = 4 << 20
			relaytest.Transfer(t, w.network, w.pod, appV4, size)
			relaytest.Transfer(t, w.network, w.pod, appV6, size)
			s, rings := w.master.Status(), w.relay.Stats()
			packets, frames := s.Tx.Packets, rings.FramesOut
			if frames == 0 || packets < 2*size/1500 || c.RingSize != 2 && float64(packets)/float64(frames) < 5 {
				t.Errorf("to the application: %d frames became %d packets", frames, packets)
			}
			relaytest.Transfer(t, w.pod, w.network, twinV4, size)
			relaytest.Transfer(t, w.pod, w.network, twinV6, size)
			after := w.relay.Stats()
			packets, frames = w.master.Status().Rx.Packets-s.Rx.Packets, after.FramesIn-rings.FramesIn
			t.Logf("to the kernel: %d packets in %d frames; dropped %+v", packets, frames, after)
			if c.RingSize > 2 && float64(packets)/float64(frames) < 1.5 {
				t.Errorf("to the kernel: %d packets in %d frames", packets, frames)
			}
		})
	}
}

// A large datagram (USO) arrives as the datagrams that it stands for.
func TestUDP(t *testing.T) {
	w := newWay(t, memif.Config{}, 1)
	const segment, segments = 1200, 40
	payload := bytes.Repeat([]byte("polynic."), segment*segments/8)
	for _, addr := range []string{appV4, appV6} {
		receiver := relaytest.ListenUDP(t, w.pod, addr)
		before := w.relay.Stats().FramesOut
		relaytest.SendSegmented(t, w.network, receiver.LocalAddr().(*net.UDPAddr), payload, segment)
		if err := receiver.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 2*segment)
		for i := range segments {
			n, err := receiver.Read(buffer)
			if err != nil || !bytes.Equal(buffer[:n], payload[i*segment:(i+1)*segment]) {
				t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
			}
		}
		if frames := w.relay.Stats().FramesOut - before; frames > segments/2 {
			t.Errorf("%d frames for one send of %d segments", frames, segments)
		}
	}
}

// The application comes again; what is for it meanwhile is dropped, and does not
// wait to be delivered late.
func TestApplicationComesAgain(t *testing.T) {
	w := newWay(t, memif.Config{}, 1)
	for range 5 {
		w.pod.Ping(t, twinV4)
		ours, theirs := connected(t, w.master), connected(t, w.slave)
		theirs.Disconnect("for a test")
		<-theirs.Done()
		<-ours.Done()
		ours, theirs = connected(t, w.master), connected(t, w.slave)
		relaytest.Eventually(t, "packets are moved again", 20*time.Second, func() bool {
			return w.relay.Serves(ours) && w.app.Serves(theirs)
		})
		w.network.Ping(t, appV6)
	}
	if s := w.master.Status(); s.Connects < 6 {
		t.Errorf("status %+v", s)
	}
	ours := connected(t, w.master)
	if err := w.slave.Close(); err != nil {
		t.Fatal(err)
	}
	<-ours.Done()
	before := w.relay.Stats().DropsOut
	relaytest.SendSegmented(t, w.network, &net.UDPAddr{IP: net.ParseIP(appV4), Port: 9}, make([]byte, 100), 100)
	relaytest.Eventually(t, "what nobody takes is dropped", 20*time.Second, func() bool { return w.relay.Stats().DropsOut > before })
}

// A tap that goes away ends the Twin, and says so.
func TestTapGoesAway(t *testing.T) {
	s := newSpace(t)
	d := device(t, s, "twin1", twinMAC, 1)
	master, slave := pair(t, memif.Config{})
	ended := make(chan error, 1)
	twin := rings.NewTwin(rings.TwinConfig{Interface: master, Queues: d.Queues(), MaxPacket: maxPacket})
	go func() { ended <- twin.Run(t.Context()) }()
	if err := s.NL.LinkDel(s.Device(t, "twin1")); err != nil {
		t.Fatal(err)
	}
	_, _ = slave.Write(t.Context(), make([]byte, 100))
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody noticed")
	}
	if errors.Is(connected(t, master).Err(), memif.ErrFault) {
		t.Error("the application paid for it")
	}
}

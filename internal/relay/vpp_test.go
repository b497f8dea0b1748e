// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/test/vpp"
)

// routed is pods whose taps the real VPP routes between; the n-th has 10.80.N.2 and
// fd80:N::2.
type routed struct {
	*running
	vpp    *vpp.Process
	socket string
	pods   []*relaytest.Space
}

func newRouted(t testing.TB, pods int) *routed {
	t.Helper()
	r := &routed{running: startRelay(t, t.TempDir())}
	r.vpp = vpp.Start(t, vpp.Config{Inside: newSpace(t).Handle})
	r.socket = filepath.Join(filepath.Dir(r.vpp.CLI), "taps.sock")
	for n := range pods {
		pod := newSpace(t)
		r.pods = append(r.pods, pod)
		link := pod.Link("tap1")
		link.MAC = r.mac(n)
		r.attach(t, relayapi.TapPort{
			ID: r.id(n), Pod: link, Queues: 1,
			Switch: relayapi.MemifPeer{Socket: r.socket, ID: uint32(n), Secret: secret, RingSize: 1024, MTU: 1500},
		})
		pod.Up(t, "tap1")
		for _, prefix := range []string{fmt.Sprintf("10.80.%d.", n), fmt.Sprintf("fd80:%d::", n)} {
			pod.Address(t, "tap1", prefix+"2", prefix+"1")
			route := &netlink.Route{LinkIndex: pod.Device(t, "tap1").Attrs().Index, Gw: netip.MustParseAddr(prefix + "1").AsSlice()}
			if err := pod.NL.RouteAdd(route); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func (r *routed) id(n int) string { return fmt.Sprintf("pod%d/tap1", n) }

func (r *routed) mac(n int) model.MAC { return model.MAC{2, 0xfe, 0, 0, 0, byte(n)} }

// configure has VPP make its ends, in interrupt mode.
func (r *routed) configure(t testing.TB) {
	t.Helper()
	r.vpp.Do(t, "create memif socket id 1 filename "+r.socket)
	for n := range r.pods {
		name := fmt.Sprintf("memif1/%d", n)
		r.vpp.Do(t, fmt.Sprintf("create interface memif id %d socket-id 1 hw-addr 02:fe:00:00:01:%02x master secret %s", n, n, secret))
		r.vpp.Do(t, "set interface mtu packet 1500 "+name)
		r.vpp.Do(t, "set interface state "+name+" up")
		r.vpp.Do(t, "set interface rx-mode "+name+" interrupt")
		r.vpp.Do(t, fmt.Sprintf("set interface ip address %s 10.80.%d.1/24", name, n))
		r.vpp.Do(t, fmt.Sprintf("set interface ip address %s fd80:%d::1/64", name, n))
		// VPP drops the packet for which it has to ask.
		r.vpp.Do(t, fmt.Sprintf("set ip neighbor static %s 10.80.%d.2 %s", name, n, r.mac(n)))
		r.vpp.Do(t, fmt.Sprintf("set ip neighbor static %s fd80:%d::2 %s", name, n, r.mac(n)))
	}
}

// connected waits until VPP and the relay have each other.
func (r *routed) connected(t testing.TB, limit time.Duration) {
	t.Helper()
	relaytest.Eventually(t, "every tap is connected", limit, func() bool {
		for n := range r.pods {
			if p := r.state(t, r.id(n)); !p.Attached || !p.Link.Connected {
				return false
			}
		}
		return true
	})
}

// TestVPPRoutesBetweenTaps: VPP is another's implementation of the other role.
func TestVPPRoutesBetweenTaps(t *testing.T) {
	r := newRouted(t, 2)
	r.configure(t)
	r.connected(t, 20*time.Second)
	for _, addr := range []string{"10.80.0.1", "fd80:0::1", "10.80.1.2", "fd80:1::2"} {
		r.pods[0].Ping(t, addr)
	}
	for _, addr := range []string{"10.80.1.2", "fd80:1::2"} {
		relaytest.Transfer(t, r.pods[0], r.pods[1], addr, 32<<20)
	}
	relaytest.Transfer(t, r.pods[1], r.pods[0], "10.80.0.2", 32<<20)
	link := r.state(t, r.id(1)).Link
	if link.Interface != "memif1/1" || link.Queues != 1 || link.RingSize != 1024 {
		t.Errorf("link %+v", link)
	}
	t.Logf("%s: tap 0 is %+v, %+v", r.vpp.Do(t, "show version"), r.state(t, r.id(0)), link)
}

// TestVPPKilled: the taps live on, and find the next VPP by themselves.
func TestVPPKilled(t *testing.T) {
	r := newRouted(t, 2)
	r.configure(t)
	r.connected(t, 20*time.Second)
	r.pods[0].Ping(t, "10.80.1.2")
	for range 3 {
		r.vpp.Kill()
		relaytest.Eventually(t, "that it is gone is noticed", time.Second, func() bool { return !r.state(t, r.id(0)).Link.Connected })
		if p := r.state(t, r.id(0)); !p.Attached || !r.pods[0].Carrier(t, "tap1") {
			t.Errorf("without VPP: %+v", p)
		}
		r.vpp.Start(t)
		r.configure(t)
		r.connected(t, 500*time.Millisecond)
		r.pods[0].Ping(t, "10.80.1.2")
		r.pods[1].Ping(t, "fd80:0::2")
	}
}

// TestVPPHangs: a switch that takes nothing for a while, and then goes on, is not
// parted from, and the relay does not wait for it.
func TestVPPHangs(t *testing.T) {
	r := newRouted(t, 2)
	r.configure(t)
	r.connected(t, 20*time.Second)
	r.pods[0].Ping(t, "10.80.1.2")
	r.vpp.Hang()
	drops := r.state(t, r.id(0)).Drops
	sendUDP(t, r.pods[0], "10.80.1.2", 5000) // more than the ring takes
	relaytest.Eventually(t, "what has no room is dropped", 20*time.Second, func() bool { return r.state(t, r.id(0)).Drops > drops })
	before := cpu(t)
	timer := time.NewTimer(500 * time.Millisecond)
	<-timer.C
	if used := cpu(t) - before; used > 100*time.Millisecond {
		t.Errorf("%v of processor time in half a second, with a full ring", used)
	}
	r.vpp.Unhang()
	r.vpp.Do(t, "show memif") // it has taken what was in the ring
	r.pods[0].Ping(t, "10.80.1.2")
	if l := r.state(t, r.id(0)).Link; !l.Connected || l.Connects != 1 {
		t.Errorf("link %+v, want that of before", l)
	}
}

// TestNextRelayFindsVPP: a relay that starts again is taken back at once.
func TestNextRelayFindsVPP(t *testing.T) {
	r := newRouted(t, 2)
	r.configure(t)
	r.connected(t, 20*time.Second)
	for range 3 {
		r.stop()
		r.running = startRelay(t, r.cfg.StateDir)
		r.connected(t, 500*time.Millisecond)
		r.pods[0].Ping(t, "10.80.1.2")
		r.pods[1].Ping(t, "fd80:0::2")
	}
}

// TestVPPAndIdleTaps: taps on which nothing happens take next to no processor time.
func TestVPPAndIdleTaps(t *testing.T) {
	r := newRouted(t, 20)
	r.configure(t)
	r.connected(t, 10*time.Second)
	const span = 3 * time.Second
	before := cpu(t)
	timer := time.NewTimer(span)
	<-timer.C
	used := cpu(t) - before
	t.Logf("20 idle taps: %.2f %% of a processor", 100*used.Seconds()/span.Seconds())
	if used > span/20 {
		t.Errorf("%v of processor time in %v for 20 idle taps", used, span)
	}
}

// BenchmarkThroughVPP moves TCP from tap to tap: sender, relay, VPP and receiver
// share the machine. Its MB/s are of payload.
func BenchmarkThroughVPP(b *testing.B) {
	r := newRouted(b, 2)
	r.configure(b)
	r.connected(b, 20*time.Second)
	var listener net.Listener
	err := r.pods[1].Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(b.Context(), "tcp", "10.80.1.2:0")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	received := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			received <- 0
			return
		}
		defer conn.Close()
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
		received <- n
	}()
	conn, err := r.pods[0].DialTCP(b.Context(), listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		b.Error(err)
	}
	if n := <-received; n != int64(b.N)*int64(len(chunk)) {
		b.Errorf("%d bytes arrived", n)
	}
	b.ReportMetric(float64(r.state(b, r.id(0)).Drops+r.state(b, r.id(1)).Drops)/float64(b.N), "drops/op")
}

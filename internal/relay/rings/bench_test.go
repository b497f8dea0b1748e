// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/testpmd"
)

// BenchmarkTCP moves TCP between the kernel and an application: one that has
// next to nothing to do, or, "through", one that is a twin in another kernel.
// "whole" is how the relay works; in "cut" the kernel cuts what it sends, and
// nothing is joined. The window is what the queue of a tap holds, so that nothing
// is lost, and the kernel's congestion control is Reno, which every kernel has:
// that of BBR would be measured instead of the relay. "bridge" is what the kernel
// itself does between two namespaces.
func BenchmarkTCP(b *testing.B) {
	for _, direction := range []struct {
		name string
		move func(*testing.B, offload)
	}{{"to the application", toApplication}, {"to the kernel", toKernel}, {"through", through}} {
		b.Run(direction.name+"/whole", func(b *testing.B) { direction.move(b, whole) })
		b.Run(direction.name+"/cut", func(b *testing.B) { direction.move(b, cut) })
	}
	b.Run("bridge", bridged)
}

// offload is what is done to TCP on its way.
type offload string

const (
	whole offload = "on"
	cut   offload = "off"
)

// start moves packets as the relay does, or none but single ones.
func (o offload) start(b *testing.B, s *relaytest.Space, name string, c rings.TwinConfig) {
	b.Helper()
	c.MaxPacket = maxPacket
	twin := rings.NewTwin(c)
	if o == whole {
		during(b, twin.Run)
		return
	}
	during(b, twin.RunSingly)
	ethtool := need.Command(b, need.Kernel, "ethtool")
	err := s.Do(func() error { return exec.Command(ethtool, "-K", name, "tso", "off", "gso", "off").Run() })
	if err != nil {
		b.Fatal(err)
	}
}

// newRenoSpace makes a namespace whose senders use Reno.
func newRenoSpace(b *testing.B) *relaytest.Space {
	b.Helper()
	s := newSpace(b)
	err := s.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte("reno"), 0) })
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// bare makes the relay's end alone.
func (o offload) bare(b *testing.B) *way {
	b.Helper()
	w := &way{network: newRenoSpace(b)}
	w.twin = device(b, w.network, "twin1", twinMAC, 1)
	w.master, w.slave = pair(b, memif.Config{MaxPacket: maxPacket, BusyPoll: busyPoll})
	w.network.Address(b, "twin1", twinV4, appV4)
	w.network.Neighbor(b, "twin1", appV4, appMAC)
	o.start(b, w.network, "twin1", rings.TwinConfig{Interface: w.master, Queues: w.twin.Queues()})
	return w
}

// busyPoll is that of the relay.
const busyPoll = 20 * time.Microsecond

func toApplication(b *testing.B, o offload) {
	b.Helper()
	w := o.bare(b)
	during(b, newEndpoint(b, w.slave, 0).sink)
	conn, err := w.network.DialTCP(b.Context(), net.JoinHostPort(appV4, fmt.Sprint(listenPort)))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	send(b, conn)
}

func toKernel(b *testing.B, o offload) {
	b.Helper()
	w := o.bare(b)
	listener := listen(b, w.network, twinV4)
	during(b, newEndpoint(b, w.slave, uint16(listener.Addr().(*net.TCPAddr).Port)).source)
	conn, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := io.ReadFull(conn, chunk); err != nil {
			b.Fatal(err)
		}
	}
}

func through(b *testing.B, o offload) {
	b.Helper()
	w := o.bare(b)
	w.pod = newRenoSpace(b)
	app := device(b, w.pod, "app1", appMAC, 1)
	w.pod.Address(b, "app1", appV4, twinV4)
	w.pod.Neighbor(b, "app1", twinV4, twinMAC)
	o.start(b, w.pod, "app1", rings.TwinConfig{Interface: w.slave, Queues: app.Queues()})
	transfer(b, w.pod, w.network)
}

// bridged has a bridge and two veth pairs where the relay is otherwise.
func bridged(b *testing.B) {
	b.Helper()
	middle, pod, network := newSpace(b), newRenoSpace(b), newRenoSpace(b)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "bridge"
	if err := middle.NL.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		b.Fatal(err)
	}
	middle.Up(b, "bridge")
	for name, s := range map[string]*relaytest.Space{"app1": pod, "twin1": network} {
		attrs.Name = name
		attrs.MasterIndex = middle.Device(b, "bridge").Attrs().Index
		link := &netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(s.FD())}
		if err := middle.NL.LinkAdd(link); err != nil {
			b.Fatal(err)
		}
		middle.Up(b, name)
		s.Up(b, name)
	}
	pod.Address(b, "app1", appV4, twinV4)
	network.Address(b, "twin1", twinV4, appV4)
	pod.Neighbor(b, "app1", twinV4, model.MAC(network.Device(b, "twin1").Attrs().HardwareAddr))
	network.Neighbor(b, "twin1", appV4, model.MAC(pod.Device(b, "app1").Attrs().HardwareAddr))
	transfer(b, pod, network)
}

// transfer sends from the pod's kernel to the network's.
func transfer(b *testing.B, pod, network *relaytest.Space) {
	b.Helper()
	listener := listen(b, network, twinV4)
	var reading sync.WaitGroup
	reading.Go(func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
			_ = conn.Close()
		}
	})
	defer reading.Wait()
	defer listener.Close() // where nobody connects
	conn, err := pod.DialTCP(b.Context(), listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	send(b, conn)
}

func listen(t testing.TB, s *relaytest.Space, addr string) (l net.Listener) {
	t.Helper()
	err := s.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func send(b *testing.B, conn net.Conn) {
	b.Helper()
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForward is a cross-connect against DPDK's (testpmd --forward-mode=io),
// both alone on CPU 0; the generator, a testpmd with two ports on CPU 1, counts
// what comes back. One iteration takes a second.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{64, 512, 1518} {
		for _, with := range []struct {
			name string
			make func(*testing.B, [2]string)
		}{{"relay", relayBetween}, {"testpmd", testpmdBetween}} {
			b.Run(fmt.Sprint(size, "/", with.name), func(b *testing.B) {
				dir := b.TempDir()
				sockets := [2]string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
				with.make(b, sockets)
				var ports []string
				for _, s := range sockets {
					ports = append(ports, "role=client,socket="+s+",socket-abstract=no,id=0")
				}
				g := testpmd.Start(b, testpmd.Config{Ports: ports, App: []string{"--forward-mode=flowgen", fmt.Sprint("--txpkts=", size)}})
				relaytest.Eventually(b, "its links are up", 20*time.Second, func() bool {
					return g.LinkUp(b, 0) && g.LinkUp(b, 1)
				})
				g.Do(b, "start")
				pps := 0.0
				for b.Loop() {
					g.Do(b, "clear port stats all")
					begin := time.Now()
					<-time.After(time.Second)
					received := g.Count(b, 0, "RX-packets") + g.Count(b, 1, "RX-packets")
					pps += float64(received) / time.Since(begin).Seconds()
				}
				b.ReportMetric(pps/float64(b.N)/1e6, "Mpps")
			})
		}
	}
}

func testpmdBetween(b *testing.B, sockets [2]string) {
	b.Helper()
	var ports []string
	for _, s := range sockets {
		ports = append(ports, "role=server,socket="+s+",socket-abstract=no,id=0")
	}
	p := testpmd.Start(b, testpmd.Config{Ports: ports, Lcores: "0@0,1@0"})
	p.Forward(b, "io")
}

func relayBetween(b *testing.B, sockets [2]string) {
	b.Helper()
	var ends [2]*memif.Interface
	for i, s := range sockets {
		l, err := memif.Listen(memif.ListenConfig{Address: s})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close() })
		if ends[i], err = l.Add(memif.Config{BusyPoll: busyPoll}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range ends {
		during(b, func(ctx context.Context) error {
			rings.Forward(ctx, ends[i], ends[1-i])
			return nil
		})
	}
}

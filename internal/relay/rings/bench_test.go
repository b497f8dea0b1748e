// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/testpmd"
)

// BenchmarkTCP moves TCP between the kernel and an application that has next to
// nothing to do. "whole" is how the relay works; in "cut" the kernel cuts what it
// sends, and nothing is joined.
func BenchmarkTCP(b *testing.B) {
	b.Run("to the application/whole", func(b *testing.B) { toApplication(b, "on") })
	b.Run("to the application/cut", func(b *testing.B) { toApplication(b, "off") })
	b.Run("to the kernel/whole", func(b *testing.B) {
		toKernel(b, func(w *way) {
			run(b, rings.TwinConfig{Interface: w.master, Queues: w.twin.Queues(), MaxPacket: maxPacket})
		})
	})
	b.Run("to the kernel/cut", func(b *testing.B) {
		toKernel(b, func(w *way) {
			twin := rings.NewTwin(rings.TwinConfig{Interface: w.master, Queues: w.twin.Queues(), MaxPacket: maxPacket})
			during(b, twin.RunSingly)
		})
	})
}

// bare makes the relay's end alone.
func bare(b *testing.B) *way {
	b.Helper()
	w := &way{network: newSpace(b)}
	w.twin = device(b, w.network, "twin1", twinMAC, 1)
	w.master, w.slave = pair(b, memif.Config{MaxPacket: maxPacket})
	w.network.Address(b, "twin1", twinV4, appV4)
	w.network.Neighbor(b, "twin1", appV4, appMAC)
	return w
}

func toApplication(b *testing.B, offload string) {
	b.Helper()
	w := bare(b)
	run(b, rings.TwinConfig{Interface: w.master, Queues: w.twin.Queues(), MaxPacket: maxPacket})
	ethtool := need.Command(b, need.Kernel, "ethtool")
	err := w.network.Do(func() error { return exec.Command(ethtool, "-K", "twin1", "tso", offload, "gso", offload).Run() })
	if err != nil {
		b.Fatal(err)
	}
	during(b, newEndpoint(b, w.slave, 0).sink)
	conn, err := w.network.DialTCP(b.Context(), net.JoinHostPort(appV4, fmt.Sprint(listenPort)))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}

func toKernel(b *testing.B, relay func(*way)) {
	b.Helper()
	w := bare(b)
	relay(w)
	var listener net.Listener
	err := w.network.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(b.Context(), "tcp", net.JoinHostPort(twinV4, "0"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
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
		if ends[i], err = l.Add(memif.Config{BusyPoll: 20 * time.Microsecond}); err != nil {
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

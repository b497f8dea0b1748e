// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"context"
	"errors"
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

// BenchmarkTCP sends TCP over a memif in both directions. "whole" is how the
// relay works; "cut" leaves the kernel to cut what it sends, and joins nothing.
// The application's end is the same in both.
func BenchmarkTCP(b *testing.B) {
	for name, offload := range map[string]string{"whole": "on", "cut": "off"} {
		b.Run("to the application/"+name, func(b *testing.B) {
			w := newWay(b, memif.Config{}, 1)
			ethtool := need.Command(b, need.Kernel, "ethtool")
			err := w.network.Do(func() error {
				return exec.Command(ethtool, "-K", "twin1", "tso", offload, "gso", offload).Run()
			})
			if err != nil {
				b.Fatal(err)
			}
			stream(b, w.network, w.pod, appV4)
		})
	}
}

// stream writes b.N times 1 MiB to a connection.
func stream(b *testing.B, from, to *relaytest.Space, addr string) {
	b.Helper()
	var listener net.Listener
	err := to.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
			err = errors.Join(err, conn.Close())
		}
		received <- err
	}()
	conn, err := from.DialTCP(b.Context(), listener.Addr().String())
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
	if err := errors.Join(conn.Close(), <-received); err != nil {
		b.Error(err)
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

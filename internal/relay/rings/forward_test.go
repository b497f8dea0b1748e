// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/memif"
)

// crossed joins two memifs for the duration of the test and gives the ends of
// the applications.
func crossed(t testing.TB, c memif.Config) (a, b *memif.Interface) {
	t.Helper()
	masterA, slaveA := pair(t, c)
	masterB, slaveB := pair(t, c)
	for _, way := range [][2]*memif.Interface{{masterA, masterB}, {masterB, masterA}} {
		during(t, func(ctx context.Context) error {
			rings.Forward(ctx, way[0], way[1])
			return nil
		})
	}
	return slaveA, slaveB
}

// exchange sends a packet and expects it at the other end.
func exchange(t testing.TB, from, to *memif.Interface, packet []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := from.Write(ctx, packet); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, memif.MaxPacket)
	n, err := to.Read(ctx, got)
	if err != nil || !bytes.Equal(got[:n], packet) {
		t.Fatalf("%d bytes of %d, %v", n, len(packet), err)
	}
}

func TestForward(t *testing.T) {
	a, b := crossed(t, memif.Config{QueuePairs: 2, RingSize: 64})
	for i := range 200 {
		packet := bytes.Repeat([]byte{byte(i)}, 1+i*300)
		exchange(t, a, b, packet)
		exchange(t, b, a, packet)
	}
	for range 5 { // either comes again
		for _, end := range []*memif.Interface{a, b} {
			c := connected(t, end)
			c.Disconnect("for a test")
			<-c.Done()
			connected(t, end)
		}
		// What was sent on a connection that was ending may be lost.
		relaytest.Eventually(t, "packets arrive again", 10*time.Second, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, sent := a.Write(ctx, []byte("again"))
			_, received := b.Read(ctx, make([]byte, 10))
			return sent == nil && received == nil
		})
	}
}

// TestForwardLosesNothing when the receiver is slower.
func TestForwardLosesNothing(t *testing.T) {
	a, b := crossed(t, memif.Config{RingSize: 16})
	const packets = 20_000
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range packets {
			if _, err := a.Write(t.Context(), fmt.Append(nil, i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer sending.Wait()
	got := make([]byte, 100)
	for i := range packets {
		n, err := b.Read(t.Context(), got)
		if err != nil || string(got[:n]) != fmt.Sprint(i) {
			t.Fatalf("packet %d is %q, %v", i, got[:n], err)
		}
	}
}

// cpu is how much processor time the test process has had.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestIdleCostsNothing: each of 50 attachments sleeps, in both directions.
func TestIdleCostsNothing(t *testing.T) {
	const attachments = 25
	s := newSpace(t)
	for i := range attachments {
		crossed(t, memif.Config{RingSize: 16, BusyPoll: 20 * time.Microsecond})
		master, _ := pair(t, memif.Config{RingSize: 16, BusyPoll: 20 * time.Microsecond})
		d := device(t, s, fmt.Sprint("twin", i), twinMAC, 1)
		run(t, rings.TwinConfig{Interface: master, Queues: d.Queues(), MaxPacket: maxPacket})
	}
	// The kernel says a few things of its own when interfaces come up.
	const while = 2 * time.Second
	least := while
	for range 5 {
		before := cpu(t)
		<-time.After(while)
		least = min(least, cpu(t)-before)
		if least < while/200 {
			break
		}
	}
	t.Logf("%v of CPU in %v for %d attachments", least, while, 3*attachments)
	if least > while/50 {
		t.Errorf("%v of CPU in %v", least, while)
	}
}

// tcp connects two namespaces.
func tcp(t *testing.T, from, to *relaytest.Space, addr string) (dialed, accepted net.Conn) {
	t.Helper()
	l := listen(t, to, addr)
	dialed, err := from.DialTCP(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close() })
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = accepted.Close() })
	return dialed, accepted
}

// TestNothingIsAllocated per packet, on any way.
func TestNothingIsAllocated(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector allocates, and empties pools")
	}
	a, b := crossed(t, memif.Config{})
	w := newWay(t, memif.Config{}, 1)
	app := relaytest.ListenUDP(t, w.pod, appV4)
	conn, err := w.network.DialUDP(t.Context(), app.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, end := tcp(t, w.network, w.pod, appV4)
	packet, got, large := make([]byte, 1000), make([]byte, 2000), make([]byte, 64<<10)
	for name, pass := range map[string]func() error{
		"forward": func() error {
			_, sent := a.Write(t.Context(), packet)
			_, received := b.Read(t.Context(), got)
			return errors.Join(sent, received)
		},
		"kernel to kernel": func() error {
			_, sent := conn.Write(packet)
			_, received := app.Read(got)
			return errors.Join(sent, received)
		},
		"large frames": func() error { // 90 packets there and back
			for _, way := range [][2]net.Conn{{stream, end}, {end, stream}} {
				_, sent := way[0].Write(large)
				_, received := io.ReadFull(way[1], large)
				if err := errors.Join(sent, received); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		if n := testing.AllocsPerRun(2000, func() {
			if err := pass(); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 {
			t.Errorf("%s: %v allocations per packet", name, n)
		}
	}
}

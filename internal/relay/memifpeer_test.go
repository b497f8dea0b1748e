// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/testpmd"
)

// dpdk starts a testpmd that connects to a memif of the container, in the
// namespace, with more arguments of its device.
func (c *container) dpdk(t testing.TB, s *relaytest.Space, number int, device string) *testpmd.Process {
	t.Helper()
	return testpmd.Start(t, testpmd.Config{
		Ports: []string{fmt.Sprintf("role=client,socket=%s,socket-abstract=no,id=%d%s", c.socket(), number, device)},
		EAL:   []string{"--single-file-segments"},
		Start: s.Do,
	})
}

func (c *container) waitForApplication(t testing.TB, id string) *model.MemifApplication {
	t.Helper()
	var a *model.MemifApplication
	relaytest.Eventually(t, "an application is connected to "+id, 20*time.Second, func() bool {
		a = c.memifState(t, id).Application
		return a != nil
	})
	return a
}

// TestDPDKAnswersTheKernel: ARP and ping, over the twin, with DPDK as the pod's
// application; killed and started again; and with memory that it could take
// away, where that is accepted.
func TestDPDKAnswersTheKernel(t *testing.T) {
	c := newContainer(t)
	c.port.Socket.Pod = model.Netns{Path: c.pod.Path, Inode: c.pod.Inode()}
	c.port.AcceptUnsealed = true
	c.attachMemifs(t, c.port)
	for _, device := range []string{",secret=" + secret, ",zero-copy=yes,rsize=9,secret=" + secret} {
		p := c.dpdk(t, c.pod, 0, device)
		if a := c.waitForApplication(t, c.port.ID); !strings.HasPrefix(a.Name, "DPDK 2") || a.PID != p.PID() {
			t.Errorf("application %+v", a)
		}
		p.Forward(t, "icmpecho")
		for range 3 {
			c.network.Ping(t, podV4)
		}
		p.Kill()
		relaytest.Eventually(t, "its death is noticed", 20*time.Second, func() bool {
			s := c.memifState(t, c.port.ID)
			return s.Application == nil && s.Ends["peer is gone"] > 0
		})
	}
}

// TestDPDKAfterARelay: a testpmd whose relay is started anew does not connect again
// by itself; it does when its port is stopped and started. It forwards nothing while
// the relay goes, at which DPDK 22.11 may crash.
func TestDPDKAfterARelay(t *testing.T) {
	c := newContainer(t)
	p := c.dpdk(t, c.pod, 0, ",secret="+secret)
	c.waitForApplication(t, c.port.ID)
	p.Forward(t, "icmpecho")
	c.network.Ping(t, podV4)
	p.Do(t, "stop")
	c.stop()
	c.running = startRelay(t, c.cfg.StateDir)
	relaytest.Eventually(t, "its link is down", 20*time.Second, func() bool { return !p.LinkUp(t, 0) })
	for _, command := range []string{"port stop 0", "port start 0"} {
		p.Do(t, command)
	}
	c.waitForApplication(t, c.port.ID)
	relaytest.Eventually(t, "its link is up", 20*time.Second, func() bool { return p.LinkUp(t, 0) })
	p.Do(t, "start")
	c.network.Ping(t, podV4)
}

// TestDPDKCountsWhatWeCount, in both directions.
func TestDPDKCountsWhatWeCount(t *testing.T) {
	c := newContainer(t)
	p := c.dpdk(t, c.pod, 0, ",secret="+secret)
	c.waitForApplication(t, c.port.ID)
	p.Forward(t, "txonly")
	relaytest.Eventually(t, "packets come", 10*time.Second, func() bool {
		return c.memifState(t, c.port.ID).TwinTx > 10_000
	})
	p.Do(t, "stop")
	sent := p.Count(t, 0, "TX-packets")
	relaytest.Eventually(t, "all packets have come", 20*time.Second, func() bool {
		s := c.memifState(t, c.port.ID)
		return int(s.RxPackets) == sent && s.TwinTx+s.RxDrops == s.RxPackets
	})
	p.Forward(t, "rxonly")
	c.network.Neighbor(t, "twin1", podV4, appMAC)
	relaytest.Eventually(t, "much is sent to it", 10*time.Second, func() bool {
		sendUDP(t, c.network, podV4, 100) // of which the kernel may drop some before us
		return c.memifState(t, c.port.ID).TxPackets > 1000
	})
	relaytest.Eventually(t, "it counts what was sent to it", 10*time.Second, func() bool {
		return p.Count(t, 0, "RX-packets") == int(c.memifState(t, c.port.ID).TxPackets)
	})
}

// TestWhoIsRefused is counted and told of, once; and nobody else is affected.
func TestWhoIsRefused(t *testing.T) {
	c := newContainer(t)
	c.port.Socket.Pod = model.Netns{Path: c.pod.Path}
	c.attachMemifs(t, c.port)
	events := c.watch(t)
	for _, r := range []struct {
		device string
		number int
		space  *relaytest.Space
		want   string
	}{
		{",secret=wrongwrongwrong", 0, c.pod, "wrong secret"},
		{",secret=" + secret, 7, c.pod, "no interface of this id"},
		{",zero-copy=yes,secret=" + secret, 0, c.pod, "bad region: region 1: region is not sealed against shrinking (memif.acceptUnsealed "},
		{",secret=" + secret, 0, c.network, "process not allowed: it is in another network namespace than the pod's"},
	} {
		p := c.dpdk(t, r.space, r.number, r.device)
		e := expect(t, events, relayapi.EventPeerRefused)
		if e.ID != c.port.ID || !strings.HasPrefix(e.Reason, fmt.Sprintf("process %d ", p.PID())) || !strings.Contains(e.Reason, r.want) {
			t.Errorf("event %+v, want %q of process %d", e, r.want, p.PID())
		}
		// It tries again and again, and is not told of again: the next event is of
		// the next one.
		reason, _, _ := strings.Cut(r.want, ": ")
		relaytest.Eventually(t, r.want+" is counted", 10*time.Second, func() bool {
			s := c.memifState(t, c.port.ID)
			return s.Refused[reason] > 0 && strings.Contains(s.LastRefused, reason)
		})
		p.Kill()
	}
	p := c.dpdk(t, c.pod, 0, ",secret="+secret)
	c.waitForApplication(t, c.port.ID)
	p.Kill()
	select {
	case e := <-events:
		t.Errorf("another event: %+v", e)
	default:
	}
}

// TestSecretsAreKept: for the user of the records alone, and out of every log.
func TestSecretsAreKept(t *testing.T) {
	newSpace(t)
	var log buffer
	dir, folder := t.TempDir(), t.TempDir()
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx, relay.Config{Socket: filepath.Join(dir, "s"), StateDir: dir}, logger) }()
	c := &container{folder: folder, running: &running{client: relayapi.New(filepath.Join(dir, "s"), logger), cfg: relay.Config{StateDir: dir}}}
	port := c.memif("p", 0)
	c.attachMemifs(t, port)
	connected(t, c.dial(t, 0))
	wrong, err := memif.Dial(c.socket(), memif.Config{Secret: "another secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	relaytest.Eventually(t, "one is refused", 20*time.Second, func() bool { return len(c.memifState(t, "p").Refused) > 0 })
	port.MTU = 9000
	c.attachMemifs(t, port)
	state := fmt.Sprintf("%+v %v %#v %q", c.memifState(t, "p"), port, port, port.Secret)
	c.client.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, text := range []string{log.String(), state} {
		if strings.Contains(text, secret) || strings.Contains(text, "another secret") {
			t.Errorf("a secret is in %s", text)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.port.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("record %v, %v", info.Mode(), err)
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

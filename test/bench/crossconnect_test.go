// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/testpmd"
)

// crossConnect is P6: packets from memif to memif through the relay against
// DPDK's testpmd, which passes them on unseen. Either is alone on the first CPU;
// the generator, a testpmd with a port at each end, is on the last, sends as
// fast as it can, and counts what comes back.
func crossConnect(t *testing.T, s *sheet) {
	t.Helper()
	if _, err := exec.LookPath("dpdk-testpmd"); err != nil {
		s.Skip("P6", err)
	}
	need.Command(t, need.Peers, "dpdk-testpmd")
	ours, theirs := relayed(t), forwarded(t)
	for _, f := range []struct {
		size int
		goal figure.Goal
	}{{64, figure.AtLeast(0.7)}, {512, figure.Goal{}}, {1518, figure.AtLeast(0.9)}} {
		ours.Values, theirs.Values = nil, nil
		for range s.memifs {
			ours.Add(ours.rate(t, s, f.size))
			theirs.Add(theirs.rate(t, s, f.size))
		}
		s.Ratio(fmt.Sprintf("P6 memif–memif, %d bytes, vs testpmd's io mode", f.size),
			ours.Median()/theirs.Median(), f.goal, "Mpps", &ours.Arm, &theirs.Arm)
	}
}

// crossing is an arm of P6.
type crossing struct {
	figure.Arm
	start, stop func() // what passes packets on
	generator   *testpmd.Process
}

// relayed crosses two ports of the shipped relay, which passes packets on as
// long as it runs.
func relayed(t *testing.T) *crossing {
	t.Helper()
	r := newMemifRelay(t, "taskset", "--cpu-list", "0")
	a, b := r.port("a", 0), r.port("b", 1)
	a.Peer, b.Peer = b.ID, a.ID
	r.attach(t, a, b)
	return &crossing{
		Arm: figure.Arm{Name: "relay"}, start: func() {}, stop: func() {},
		generator: generator(t, r.device(0), r.device(1)),
	}
}

// forwarded is testpmd with two ports.
func forwarded(t *testing.T) *crossing {
	t.Helper()
	dir := t.TempDir()
	server := "role=server,socket-abstract=no,id=0,socket=" + dir
	client := "role=client,socket-abstract=no,id=0,socket=" + dir
	p := testpmd.Start(t, testpmd.Config{Ports: []string{server + "/a", server + "/b"}, Lcores: "0@0,1@0", App: []string{"--forward-mode=io"}})
	return &crossing{
		Arm: figure.Arm{Name: "testpmd"}, start: func() { p.Do(t, "start") }, stop: func() { p.Do(t, "stop") },
		generator: generator(t, client+"/a", client+"/b"),
	}
}

// generator is a testpmd whose ports are connected.
func generator(t *testing.T, ports ...string) *testpmd.Process {
	t.Helper()
	last := runtime.NumCPU() - 1
	g := testpmd.Start(t, testpmd.Config{Ports: ports, Lcores: fmt.Sprintf("0@%d,1@%d", last, last), App: []string{"--forward-mode=flowgen"}})
	for i := range ports {
		harness.Eventually(t, 20*time.Second, func() error {
			if !g.LinkUp(t, i) {
				return fmt.Errorf("port %d of the generator is not connected", i)
			}
			return nil
		})
	}
	return g
}

// rate gives the millions of packets that came back per second.
func (c *crossing) rate(t *testing.T, s *sheet, size int) float64 {
	t.Helper()
	c.generator.Do(t, "set txpkts "+strconv.Itoa(size))
	c.start()
	defer c.stop()
	c.generator.Do(t, "start")
	defer c.generator.Do(t, "stop")
	c.generator.Do(t, "clear port stats all")
	begin := time.Now()
	<-time.After(s.flow)
	took := time.Since(begin)
	packets := c.generator.Count(t, 0, "RX-packets") + c.generator.Count(t, 1, "RX-packets")
	if packets == 0 {
		t.Fatalf("nothing comes back by way of %s", c.Name)
	}
	return float64(packets) / took.Seconds() / 1e6
}

// memifRelay is the shipped relay with a socket for memifs.
type memifRelay struct {
	client *relayapi.Client
	folder string
}

// newMemifRelay starts a relay; prefix is a command that starts another.
func newMemifRelay(t *testing.T, prefix ...string) *memifRelay {
	t.Helper()
	dir, r := t.TempDir(), &memifRelay{folder: t.TempDir()}
	socket := filepath.Join(dir, "relay.sock")
	args := append(prefix, harness.Bin("polynic-relay"), "--socket", socket, "--state", dir)
	cmd := exec.Command(args[0], args[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.client = relayapi.New(socket, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		r.client.Close()
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil || t.Failed() {
			t.Errorf("relay: %v: %s", err, &said)
		}
	})
	harness.Eventually(t, 10*time.Second, func() error {
		_, err := r.client.ListMemifs(t.Context())
		return err
	})
	return r
}

// port describes a memif that goes nowhere.
func (r *memifRelay) port(id string, number uint32) relayapi.MemifPort {
	return relayapi.MemifPort{
		ID: id, Memif: number, Mode: relayapi.MemifEthernet, MTU: 1500,
		Socket: relayapi.MemifSocket{Folder: r.folder, Name: "memif.sock", QueuePairs: 1, RingSize: 1024},
	}
}

func (r *memifRelay) attach(t *testing.T, ports ...relayapi.MemifPort) {
	t.Helper()
	if err := errors.Join(r.client.AttachMemifs(t.Context(), ports)...); err != nil {
		t.Fatal(err)
	}
}

func (r *memifRelay) socket() string { return filepath.Join(r.folder, "memif.sock") }

// device describes a memif to testpmd.
func (r *memifRelay) device(number int) string {
	return fmt.Sprintf("role=client,socket-abstract=no,socket=%s,id=%d", r.socket(), number)
}

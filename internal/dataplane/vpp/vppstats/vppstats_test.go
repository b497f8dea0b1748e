// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppstats_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.fd.io/govpp/binapi/af_packet"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppstats"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/vpp"
)

// limit is how long things may take on a machine that has much to do.
const limit = 10 * time.Second

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

// buffers reads the pools, which must be there.
func buffers(t *testing.T, r *vppstats.Reader) []vppstats.Pool {
	t.Helper()
	pools, err := r.Buffers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pools
}

func TestBuffers(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("", func(t *testing.T) {
		s := vpptest.Start(t, vpptest.Config{})
		r := vppstats.New(s.Stats)
		s.SetBuffers("default-numa-0", vpptest.Buffers{Available: 100, Cached: 20, Used: 3})
		s.SetBuffers("own", vpptest.Buffers{Available: 1 << 40})
		want := []vppstats.Pool{{Name: "default-numa-0", NUMA: 0, Available: 100, Cached: 20, Used: 3}, {Name: "own", NUMA: -1, Available: 1 << 40}}
		got := buffers(t, r)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pools (-want +got):\n%s", diff)
		}
		if got[0].Free() != 120 || got[0].Total() != 123 {
			t.Errorf("%d of %d are free, want 120 of 123", got[0].Free(), got[0].Total())
		}
		// VPP 26.06 has them in entries of another kind.
		s.SetBuffersKind(vpptest.StatGauge)
		if diff := cmp.Diff(want, buffers(t, r)); diff != "" {
			t.Errorf("pools in gauges (-want +got):\n%s", diff)
		}
		// And a kind that is not known is no 0.
		for _, kind := range []uint32{2, 3, 4, 5, 6, 7, 8, 10, 1 << 31} {
			s.SetBuffersKind(kind)
			if pools, err := r.Buffers(t.Context()); !errors.Is(err, vppstats.ErrUnknown) {
				t.Errorf("kind %d: %v, %v", kind, pools, err)
			}
		}
	})
}

func TestInterfaces(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	r := vppstats.New(s.Stats)
	peer := vpptest.Dial(t, s.Socket)
	for range 3 {
		vpptest.Do[interfaces.CreateLoopbackReply](peer, &interfaces.CreateLoopback{})
	}
	vpptest.Do[interfaces.DeleteLoopbackReply](peer, &interfaces.DeleteLoopback{SwIfIndex: 2})
	s.SetTraffic(3, vpptest.Traffic{RxPackets: 1, RxBytes: 100, TxPackets: 2, TxBytes: 200, Drops: 5})
	s.SetTraffic(2, vpptest.Traffic{RxPackets: 9})
	got, err := r.Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint32]vppstats.Counters{
		0: {Name: "local0"}, 1: {Name: "loop0"},
		3: {Name: "loop2", Rx: vppstats.Traffic{Packets: 1, Bytes: 100}, Tx: vppstats.Traffic{Packets: 2, Bytes: 200}, Drops: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestVPPThatIsAway(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("", func(t *testing.T) {
		s := vpptest.Start(t, vpptest.Config{})
		r := vppstats.New(s.Stats)
		s.SetBuffers("default-numa-0", vpptest.Buffers{Available: 1})
		for range 3 {
			s.Kill()
			away(t, r)
			s.Restart()
			buffers(t, r)
		}
		s.Hang()
		away(t, r)
		s.Unhang()
		buffers(t, r)
		nobody := vppstats.New(filepath.Join(t.TempDir(), "none"))
		away(t, nobody)
	})
}

// away expects VPP to be told to be away, and soon.
func away(t *testing.T, r *vppstats.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	pools, err := r.Buffers(ctx)
	if !errors.Is(err, dataplane.ErrAway) {
		t.Errorf("a VPP that is away has buffers %v, %v", pools, err)
	}
	if took := time.Since(start); took > limit {
		t.Errorf("it took %s to tell", took)
	}
}

func TestVPPs(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("", func(t *testing.T) {
		v := vpp.Start(t, vpp.Config{Buffers: 8192})
		r := vppstats.New(v.Stats)
		sameBuffers(t, v, r)
		index := hostInterface(t, v.API)
		before := countersOf(t, r, index)
		traffic(t, 20, 1000)
		eventually(t, func() error {
			c := countersOf(t, r, index)
			if c.Rx.Packets < before.Rx.Packets+20 || c.Rx.Bytes < before.Rx.Bytes+20*1000 || c.Tx.Packets == before.Tx.Packets {
				return fmt.Errorf("counters were %+v and are %+v", before, c)
			}
			return nil
		})
		if c := countersOf(t, r, index); c.Name != "host-vppstats0" {
			t.Errorf("interface %d is called %q", index, c.Name)
		}
		sameBuffers(t, v, r)

		v.Hang()
		away(t, r)
		v.Unhang()
		buffers(t, r)
		for range 3 {
			v.Kill()
			away(t, r)
			v.Start(t)
			sameBuffers(t, v, r)
			all, err := r.Interfaces(t.Context())
			if err != nil || len(all) != 1 || all[0].Name != "local0" {
				t.Errorf("a new VPP has %v, %v", all, err)
			}
		}
	})
}

// sameBuffers compares the figures with those of VPP's command line.
func sameBuffers(t *testing.T, v *vpp.Process, r *vppstats.Reader) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^(default-numa-\d+) +\d+ +\d+ +\d+ +\d+ +(\d+) +(\d+) +(\d+) +(\d+)`)
	eventually(t, func() error {
		shown := line.FindStringSubmatch(v.Do(t, "show buffers"))
		if shown == nil {
			return fmt.Errorf("show buffers: %s", v.Do(t, "show buffers"))
		}
		number := func(i int) uint64 {
			n, err := strconv.ParseUint(shown[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		want := []vppstats.Pool{{Name: shown[1], Available: number(3), Cached: number(4), Used: number(5)}}
		got := buffers(t, r)
		if diff := cmp.Diff(want, got); diff != "" || got[0].Total() != number(2) || number(2) == 0 {
			return fmt.Errorf("show buffers says %v (-), the statistics (+):\n%s", shown, diff)
		}
		return nil
	})
}

// hostInterface gives VPP one end of a veth, whose other end is the test's.
func hostInterface(t *testing.T, socket string) uint32 {
	t.Helper()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(need.Command(t, need.Kernel, "ip"), args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	run("link", "add", "vppstats0", "type", "veth", "peer", "name", "vppstats1")
	t.Cleanup(func() { run("link", "del", "vppstats1") })
	run("addr", "add", "10.9.0.2/24", "dev", "vppstats1")
	run("link", "set", "vppstats1", "up")
	peer := vpptest.Dial(t, socket)
	index := vpptest.Do[af_packet.AfPacketCreateV3Reply](peer, &af_packet.AfPacketCreateV3{
		Mode: af_packet.AF_PACKET_API_MODE_ETHERNET, HostIfName: "vppstats0", UseRandomHwAddr: true, NumRxQueues: 1, NumTxQueues: 1,
	}).SwIfIndex
	vpptest.Do[interfaces.SwInterfaceAddDelAddressReply](peer, vpptest.AddAddress(uint32(index), "10.9.0.1/24"))
	vpptest.Do[interfaces.SwInterfaceSetFlagsReply](peer, &interfaces.SwInterfaceSetFlags{
		SwIfIndex: index, Flags: interface_types.IF_STATUS_API_FLAG_ADMIN_UP,
	})
	return uint32(index)
}

// traffic sends datagrams to VPP.
func traffic(t *testing.T, count, size int) {
	t.Helper()
	conn, err := net.Dial("udp4", "10.9.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range count {
		_, _ = conn.Write(make([]byte, size)) // what VPP says of the port comes back as an error
	}
}

// eventually looks until all is well.
func eventually(t *testing.T, look func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for err := look(); err != nil; err = look() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %v", limit, err)
		case <-tick.C:
		}
	}
}

func countersOf(t *testing.T, r *vppstats.Reader, index uint32) vppstats.Counters {
	t.Helper()
	all, err := r.Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all[index]
}

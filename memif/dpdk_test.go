// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
)

var kills = flag.Int("kills", 3, "times that DPDK is killed and started again")

// echo is an ICMP echo request of the given length, from 02:..:01 10.0.0.1 to
// 10.0.0.2, whose payload says which it is.
func echo(number uint16, length int) []byte {
	p := make([]byte, max(length, 14+20+8))
	copy(p, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00")
	ip := p[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 1
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(ip[10:], sum(ip[:20]))
	icmp := ip[20:]
	icmp[0] = 8
	binary.BigEndian.PutUint16(icmp[6:], number)
	copy(icmp[8:], pattern(int(number), len(icmp)-8))
	binary.BigEndian.PutUint16(icmp[2:], sum(icmp))
	return p
}

// sum is the internet checksum (RFC 1071).
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// ping sends echo requests of many lengths to a testpmd in icmpecho mode and
// checks its replies.
func ping(t *testing.T, i *memif.Interface, lengths []int) {
	t.Helper()
	p := make([]byte, memif.MaxPacket)
	for number, length := range lengths {
		request := echo(uint16(number), length)
		if _, err := i.Write(soon(t), request); err != nil {
			t.Fatalf("request of %d bytes: %v", length, err)
		}
		n, err := i.Read(soon(t), p)
		if err != nil {
			t.Fatalf("reply of %d bytes: %v", length, err)
		}
		reply := p[:n]
		if len(reply) != len(request) || reply[34] != 0 || !bytes.Equal(reply[38:], request[38:]) ||
			!bytes.Equal(reply[:6], request[6:12]) || !bytes.Equal(reply[26:30], request[30:34]) {
			t.Fatalf("to %x\nthe reply is %x", request, reply)
		}
	}
}

// variant is a way to set up DPDK's end and ours.
type variant struct {
	name   string
	pmd    pmd
	config memif.Config
	most   int // the longest packet that DPDK passes on
}

func variants() []variant {
	all := []variant{
		{"defaults", pmd{}, memif.Config{}, 1518},
		{"secret and id", pmd{device: ",secret=s3cret,id=7"}, memif.Config{Secret: "s3cret", ID: 7}, 1518},
		{"two queues", pmd{app: []string{"--rxq=2", "--txq=2"}}, memif.Config{QueuePairs: 2}, 1518},
		{"four queues", pmd{app: []string{"--rxq=4", "--txq=4"}}, memif.Config{QueuePairs: 4}, 1518},
		{"chained buffers", pmd{device: ",bsize=256", app: []string{"--mbuf-size=512"}}, memif.Config{BufferSize: 256}, 1518},
	}
	for _, log2 := range []int{1, 4, 8, 12, 14} { // 10 is the default
		all = append(all, variant{
			fmt.Sprint("rings of 2^", log2),
			pmd{device: fmt.Sprint(",rsize=", log2)},
			memif.Config{RingSize: 1 << log2},
			1518,
		})
	}
	return all
}

// zeroCopy are variants with DPDK's own buffers as those of the rings. With less than
// 32 slots DPDK 22.11 never offers one.
func zeroCopy() []variant {
	eal := []string{"--single-file-segments"}
	config := func(pairs, ring int) memif.Config {
		return memif.Config{AcceptUnsealed: true, QueuePairs: pairs, RingSize: ring}
	}
	return []variant{
		{"zero copy", pmd{device: ",zero-copy=yes", eal: eal}, config(0, 0), 1518},
		{"zero copy and short rings", pmd{device: ",zero-copy=yes,rsize=6", eal: eal}, config(0, 1<<6), 1518},
		{"zero copy and long rings", pmd{device: ",zero-copy=yes,rsize=11", eal: eal}, config(0, 1<<11), 1518},
		{"zero copy and four queues", pmd{device: ",zero-copy=yes,rsize=8", eal: eal, app: []string{"--rxq=4", "--txq=4"}}, config(4, 1<<8), 1518},
	}
}

func TestDPDKClient(t *testing.T) {
	for _, v := range append(variants(), zeroCopy()...) {
		t.Run(v.name, func(t *testing.T) {
			nothingLeft(t)
			l := listen(t, memif.ListenConfig{})
			master := add(t, l, v.config)
			dpdk := startPMD(t, "client", l.Addr().String(), v.pmd)
			forward(t, dpdk, master, "icmpecho")
			ping(t, master, []int{60, 64, 512, 1000, v.most, 61})
			if s := master.Status(); !strings.HasPrefix(s.Peer.Application, "DPDK 2") || s.Peer.PID != dpdk.PID() {
				t.Errorf("peer %+v", s.Peer)
			}
			dpdk.Do(t, "stop")
			dpdk.Do(t, "port stop 0")
			eventually(t, func() bool { return !master.Status().Connected }, func() string { return "still connected after DPDK's port stopped" })
		})
	}
}

// The memory is the client's, so that DPDK's server takes zero-copy for no more
// than a word.
func TestDPDKServer(t *testing.T) {
	for _, v := range append(variants(), zeroCopy()[0]) {
		t.Run(v.name, func(t *testing.T) {
			nothingLeft(t)
			address := socket(t)
			dpdk := startPMD(t, "server", address, v.pmd)
			slave, err := memif.Dial(address, v.config)
			if err != nil {
				t.Fatal(err)
			}
			defer slave.Close()
			forward(t, dpdk, slave, "icmpecho")
			ping(t, slave, []int{60, 64, 512, 1000, v.most, 61})
			if s := slave.Status(); !strings.HasPrefix(s.Peer.Application, "DPDK 2") || s.Peer.PID != dpdk.PID() {
				t.Errorf("peer %+v", s.Peer)
			}
		})
	}
}

func TestDPDKAbstractSocket(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{Address: "@memif-dpdk-test"})
	master := add(t, l, memif.Config{})
	dpdk := startPMD(t, "client", l.Addr().String(), pmd{})
	forward(t, dpdk, master, "icmpecho")
	ping(t, master, []int{60, 1518})
}

// A region that is not sealed, as DPDK's are in zero-copy mode, is refused
// unless the interface accepts it; a wrong secret is refused.
func TestDPDKRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		pmd    pmd
		config memif.Config
		want   memif.Reason
	}{
		{"unsealed", pmd{device: ",zero-copy=yes", eal: []string{"--single-file-segments"}}, memif.Config{}, memif.ErrRegion},
		{"wrong secret", pmd{device: ",secret=wrong"}, memif.Config{Secret: "right"}, memif.ErrSecret},
		{"wrong id", pmd{device: ",id=3"}, memif.Config{}, memif.ErrID},
	} {
		t.Run(c.name, func(t *testing.T) {
			nothingLeft(t)
			listening := memif.ListenConfig{}
			told := refusals(&listening)
			l := listen(t, listening)
			add(t, l, c.config)
			dpdk := startPMD(t, "client", l.Addr().String(), c.pmd)
			r := next(t, told)
			if !errors.Is(r.Err, c.want) || r.Peer.PID != dpdk.PID() || !strings.HasPrefix(r.Peer.Application, "DPDK") {
				t.Errorf("refused %+v", r)
			}
		})
	}
}

// DPDK generates, and counts: no packet is lost on the ring's way.
func TestDPDKCounts(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	master := add(t, l, memif.Config{})
	dpdk := startPMD(t, "client", l.Addr().String(), pmd{})
	forward(t, dpdk, master, "rxonly")
	const sent = 100_000
	batch := packets(100, 64)
	for range sent / len(batch) {
		if _, err := master.WriteBatch(soon(t), batch); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return dpdk.Count(t, 0, "RX-packets") == sent },
		func() string { return fmt.Sprintf("DPDK counts %d", dpdk.Count(t, 0, "RX-packets")) })
	dpdk.Do(t, "stop")

	for _, mode := range []string{"txonly", "flowgen"} {
		dpdk.Do(t, "clear port stats 0")
		before := master.Status().Rx.Packets
		forward(t, dpdk, master, mode)
		in := packets(256, 2048)
		var last []byte
		for n := 0; n < 100_000; {
			got, err := master.ReadBatch(soon(t), in)
			if err != nil {
				t.Fatal(err)
			}
			n += got
			last = in[got-1]
		}
		dpdk.Do(t, "stop")
		for {
			n, err := connected(t, master).RxQueues()[0].Receive(in)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		if isNotTxonly(last) {
			t.Errorf("%s: a packet is %x", mode, last)
		}
		if got, want := int(master.Status().Rx.Packets-before), dpdk.Count(t, 0, "TX-packets"); got != want {
			t.Errorf("%s: received %d, DPDK says it sent %d", mode, got, want)
		}
	}
}

// isNotTxonly tells packets that are none of testpmd's own: IPv4, and a header with
// the right checksum.
func isNotTxonly(packet []byte) bool {
	return len(packet) < 60 || packet[12] != 8 || packet[13] != 0 || sum(packet[14:34]) != 0
}

// A peer that is killed in the middle of its traffic leaves nothing, and the
// next one is connected at once.
func TestDPDKKilled(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	config := memif.Config{}
	e := record(&config)
	master := add(t, l, config)
	before := own(t)
	var noticed []time.Duration
	for i := range *kills {
		dpdk := startPMD(t, "client", l.Addr().String(), pmd{})
		next(t, e.connects)
		forward(t, dpdk, master, "txonly")
		in := packets(64, 2048)
		for range 100 {
			n, err := master.ReadBatch(soon(t), in)
			if err != nil {
				t.Fatal(err)
			}
			if p := slices.IndexFunc(in[:n], isNotTxonly); p >= 0 {
				t.Fatalf("peer %d sent %x", i, in[p])
			}
		}
		dpdk.Kill()
		start := time.Now()
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrPeerGone) {
			t.Errorf("disconnected because %v", err)
		}
		noticed = append(noticed, time.Since(start))
		isAsBefore(t, before)
	}
	slices.Sort(noticed)
	if median := noticed[len(noticed)/2]; median > 100*time.Millisecond {
		t.Errorf("a killed peer's place is free after %v at the median", median)
	}
	t.Logf("%d kills; cleaned up %v after the death at the median, %v at most", *kills, noticed[len(noticed)/2], noticed[len(noticed)-1])
}

// A server that is killed and started again gets its client back.
func TestDPDKServerKilled(t *testing.T) {
	nothingLeft(t)
	address := socket(t)
	config := memif.Config{}
	e := record(&config)
	before := own(t)
	slave, err := memif.Dial(address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	var took []time.Duration
	for range *kills {
		start := time.Now()
		dpdk := startPMD(t, "server", address, pmd{})
		next(t, e.connects)
		took = append(took, time.Since(start))
		forward(t, dpdk, slave, "icmpecho")
		ping(t, slave, []int{60, 1518})
		dpdk.Kill()
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrPeerGone) {
			t.Errorf("disconnected because %v", err)
		}
		if err := os.Remove(address); err != nil { // DPDK does not replace it
			t.Fatal(err)
		}
		isAsBefore(t, before)
	}
	slices.Sort(took)
	t.Logf("%d kills; connected %v after DPDK was started at the median, %v at most", *kills, took[len(took)/2], took[len(took)-1])
}

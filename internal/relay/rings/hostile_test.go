// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// TestHostilePeersEndAlone: what a peer writes into its rings ends its own
// connection, or none, while another's packets flow; and the next peer is served.
func TestHostilePeersEndAlone(t *testing.T) {
	w := newWay(t, memif.Config{}, 1)
	address := filepath.Join(t.TempDir(), "memif.sock")
	l, err := memif.Listen(memif.ListenConfig{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bad, err := l.Add(memif.Config{MaxPacket: maxPacket})
	if err != nil {
		t.Fatal(err)
	}
	d := device(t, w.network, "twin2", twinMAC, 1)
	run(t, rings.TwinConfig{Interface: bad, Queues: d.Queues(), MaxPacket: maxPacket})
	for name, attack := range map[string]struct {
		do   func(r memiftest.Ring)
		ends memif.Reason // 0: not
	}{
		"head jumps":   {func(r memiftest.Ring) { *r.Head() = 30000 }, memif.ErrIndex},
		"other region": {func(r memiftest.Ring) { *r.Descriptor(0) = memiftest.Descriptor{Region: 9, Length: 64}; *r.Head() = 1 }, memif.ErrDescriptor},
		"outside": {func(r memiftest.Ring) {
			*r.Descriptor(0) = memiftest.Descriptor{Offset: 1 << 31, Length: 64}
			*r.Head() = 1
		}, memif.ErrDescriptor},
		"endless chain": {endless, memif.ErrDescriptor},
		"nonsense":      {func(r memiftest.Ring) { nonsense(t, r) }, memif.ErrPeerGone},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := memiftest.NewSlave(address, memiftest.SlaveConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Handshake(); err != nil {
				t.Fatal(err)
			}
			before := bad.Status()
			attack.do(p.S2M[0])
			kick(t, p.S2M[0])
			w.pod.Ping(t, twinV4)
			if attack.ends != memif.ErrPeerGone {
				relaytest.Eventually(t, "it is ended", 20*time.Second, func() bool { return bad.Status().Ends[attack.ends] > before.Ends[attack.ends] })
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			relaytest.Eventually(t, "it is gone", 20*time.Second, func() bool { return bad.Status().Ends[attack.ends] > before.Ends[attack.ends] })
		})
	}
	if err := connected(t, w.master).Err(); err != nil {
		t.Errorf("the other's connection: %v", err)
	}
}

// endless is a ring full of pieces, none of which is the last.
func endless(r memiftest.Ring) {
	for i := range r.Slots() {
		r.Descriptor(uint16(i)).Flags = memiftest.FlagNext
		r.Descriptor(uint16(i)).Length = 64
	}
	*r.Head() = uint16(r.Slots())
}

// nonsense is many packets of bytes that mean nothing, of all lengths, with
// headers that promise more than there is.
func nonsense(t *testing.T, r memiftest.Ring) {
	t.Helper()
	source := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		head := *r.Head()
		relaytest.Eventually(t, "there is room", 20*time.Second, func() bool { return head-*r.Tail() < uint16(r.Slots()) })
		d := r.Descriptor(head)
		d.Length = uint32(1 + source.IntN(2048))
		d.Offset = r.Buffers + uint32(source.IntN(1000))
		*r.Head() = head + 1
		kick(t, r)
	}
}

// kick wakes who waits for a ring.
func kick(t *testing.T, r memiftest.Ring) {
	t.Helper()
	if _, err := unix.Write(r.Eventfd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
}

// TestShrunkRegions: an application takes the memory behind its buffers away, or
// all of it, after it is connected, whatever the relay is doing with it. That ends
// its connection, and nothing else.
func TestShrunkRegions(t *testing.T) {
	w := newWay(t, memif.Config{}, 1)
	address := filepath.Join(t.TempDir(), "memif.sock")
	l, err := memif.Listen(memif.ListenConfig{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	twin, err := l.Add(memif.Config{MaxPacket: maxPacket, AcceptUnsealed: true})
	if err != nil {
		t.Fatal(err)
	}
	crossed, err := l.Add(memif.Config{ID: 1, MaxPacket: maxPacket, AcceptUnsealed: true})
	if err != nil {
		t.Fatal(err)
	}
	master, other := pair(t, memif.Config{})
	for _, way := range [][2]*memif.Interface{{master, crossed}, {crossed, master}} {
		during(t, func(ctx context.Context) error {
			rings.Forward(ctx, way[0], way[1])
			return nil
		})
	}
	d := device(t, w.network, "twin2", twinMAC, 1)
	moved := run(t, rings.TwinConfig{Interface: twin, Queues: d.Queues(), MaxPacket: maxPacket})
	const hostile = "10.80.0.2"
	w.network.Address(t, "twin2", "10.80.0.1", hostile)
	w.network.Neighbor(t, "twin2", hostile, appMAC)
	to := &net.UDPAddr{IP: net.ParseIP(hostile), Port: 9}
	sends := func(p *memiftest.Slave) {
		for i := range 200 {
			p.S2M[0].Descriptor(uint16(i)).Length = 64
		}
		*p.S2M[0].Head() = 200
	}
	for name, attack := range map[string]struct {
		bad    *memif.Interface
		sends  func(*memiftest.Slave)
		during func()
	}{
		"it sends to the kernel":    {twin, sends, func() {}},
		"it gets packets":           {twin, func(*memiftest.Slave) {}, func() { relaytest.SendSegmented(t, w.network, to, make([]byte, 100), 100) }},
		"it gets large frames":      {twin, func(*memiftest.Slave) {}, func() { relaytest.SendSegmented(t, w.network, to, make([]byte, 20_000), 1000) }},
		"it sends to another memif": {crossed, sends, func() {}},
		"it gets another memif's":   {crossed, func(*memiftest.Slave) {}, func() { write(t, other) }},
	} {
		for what, left := range map[string]int64{"buffers": 3 << 12, "all": 0} {
			t.Run(what+" while "+name, func(t *testing.T) {
				id := uint32(0)
				if attack.bad == crossed {
					id = 1
				}
				// Rings of 256 slots: they are in the first three pages.
				p, err := memiftest.NewSlave(address, memiftest.SlaveConfig{Unsealed: true, Log2: 8, Init: memiftest.Init{ID: id}})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				*p.M2S[0].Head() = 200
				before := attack.bad.Status().Ends[memif.ErrFault]
				if err := p.Handshake(); err != nil {
					t.Fatal(err)
				}
				c := connected(t, attack.bad)
				if attack.bad == twin { // or what is for it would be dropped
					relaytest.Eventually(t, "it is served", 10*time.Second, func() bool { return moved.Serves(c) })
				}
				if err := unix.Ftruncate(p.File, left); err != nil {
					t.Fatal(err)
				}
				if left > 0 { // there are rings to write to
					attack.sends(p)
				}
				kick(t, p.S2M[0])
				attack.during()
				relaytest.Eventually(t, "its connection is ended", 20*time.Second, func() bool {
					return attack.bad.Status().Ends[memif.ErrFault] > before
				})
				w.pod.Ping(t, twinV4)
			})
		}
	}
	if err := errors.Join(connected(t, w.master).Err(), connected(t, master).Err()); err != nil {
		t.Errorf("the others' connections: %v", err)
	}
}

func write(t *testing.T, i *memif.Interface) {
	t.Helper()
	if _, err := connected(t, i).TxQueues()[0].Transmit([][]byte{make([]byte, 64)}); err != nil {
		t.Error(err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"maps"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
	"github.com/polynic/polynic/test/figure"
)

// pace is what the victim is offered, in packets of 64 bytes: so many a
// millisecond, all.
type pace int

// flood is as much as goes.
const flood = pace(math.MaxInt / int(time.Hour/time.Millisecond))

// victim is P6b: two applications that are crossed, beside hostile ones: two that
// are crossed too write nonsense into their rings, others guess secrets and begin
// handshakes that they do not end, all as fast as they can and again at once.
// Relay, victim and attackers share all CPUs. The victim is offered half of what it
// carries alone at most, so that whoever takes a part of its time is seen.
func victim(t *testing.T, s *sheet) {
	t.Helper()
	r, bad, guarded := newMemifRelay(t), t.TempDir(), t.TempDir()
	a, b := r.port("a", 0), r.port("b", 1)
	a.Peer, b.Peer = b.ID, a.ID
	x, y, z := r.port("x", 0), r.port("y", 1), r.port("z", 0)
	x.Peer, y.Peer, z.Secret = y.ID, x.ID, "secret"
	x.Socket.Folder, y.Socket.Folder, z.Socket.Folder = bad, bad, guarded
	r.attach(t, a, b, x, y, z)
	from, to := dial(t, r.socket(), 0), dial(t, r.socket(), 1)
	alone, beside, busy := &figure.Arm{Name: "alone"}, &figure.Arm{Name: "beside hostile ones"}, &figure.Arm{Name: "beside as many that compute"}
	var attacks atomic.Int64
	most := delivered(t, s, from, to, flood)
	half := pace(most / 2)
	s.Note("P6b: the victim carries %.0f kpps at most, and is offered %d", most, half)
	for range s.memifs {
		alone.Add(delivered(t, s, from, to, half))
		stop := attack(t, filepath.Join(bad, x.Socket.Name), filepath.Join(guarded, z.Socket.Name), &attacks)
		beside.Add(delivered(t, s, from, to, half))
		stop()
		stop = compute(t)
		busy.Add(delivered(t, s, from, to, half))
		stop()
	}
	s.Ratio("P6b rate of a memif beside hostile ones", beside.Median()/alone.Median(), figure.AtLeast(0.9), "kpps", beside, alone)
	s.Ratio("P6b the same against neighbours that only take CPUs", beside.Median()/busy.Median(), figure.Goal{}, "kpps", beside, busy)
	ends := map[string]uint64{}
	for _, p := range r.list(t) {
		for reason, n := range p.Ends {
			ends[reason] += n
		}
		if p.ID == z.ID {
			maps.Copy(ends, p.Refused)
		}
	}
	if from.Err() != nil || to.Err() != nil || len(ends) < 3 {
		t.Errorf("the victim's connections: %v, %v; the attackers': %v", from.Err(), to.Err(), ends)
	}
	s.Note("%d attacks; how they ended: %v", attacks.Load(), ends)
}

func (r *memifRelay) list(t *testing.T) []relayapi.MemifState {
	t.Helper()
	ports, err := r.client.ListMemifs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func dial(t *testing.T, socket string, number uint32) *memif.Conn {
	t.Helper()
	i, err := memif.Dial(socket, memif.Config{ID: number})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := i.Connected(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// delivered offers packets at a steady pace and gives the thousands per second
// that arrived.
func delivered(t *testing.T, s *sheet, from, to *memif.Conn, offered pace) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.flow)
	defer cancel()
	var receiving sync.WaitGroup
	before := to.RxQueues()[0].Counters().Packets
	receiving.Go(func() {
		packets := buffers(256)
		for rx := to.RxQueues()[0]; rx.Wait(ctx) == nil; {
			_, _ = rx.Receive(packets) // an error ends Wait too
		}
	})
	begin, sent := time.Now(), 0
	packets := buffers(128)
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for due := int(time.Since(begin).Milliseconds()) * int(offered); sent < due; {
			n, err := from.TxQueues()[0].Transmit(packets[:min(len(packets), due-sent)])
			if err != nil {
				t.Error(err)
				return 0
			}
			if sent += n; n == 0 {
				break // the ring is full
			}
		}
		<-tick.C
	}
	took := time.Since(begin)
	receiving.Wait()
	return float64(to.RxQueues()[0].Counters().Packets-before) / took.Seconds() / 1e3
}

func buffers(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, 64)
	}
	return all
}

// attack attacks two sockets in every way at a time, until it is stopped.
func attack(t *testing.T, open, guarded string, attacks *atomic.Int64) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	for _, assail := range []func(int){
		func(i int) { spoil(ctx, open, 0, i) },
		func(i int) { spoil(ctx, open, 1, i) },
		func(int) { guess(guarded) },
		func(int) { hesitate(guarded) },
	} {
		attackers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				assail(i)
				attacks.Add(1)
			}
		})
	}
	return func() {
		cancel()
		attackers.Wait()
	}
}

// compute takes as many CPUs as the attackers do, and touches no socket: what the
// victim loses to these it does not lose to the relay.
func compute(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var computing sync.WaitGroup
	for range 4 {
		computing.Go(func() {
			for ctx.Err() == nil {
				_ = buffers(1)
			}
		})
	}
	return func() {
		cancel()
		computing.Wait()
	}
}

// spoil connects, offers buffers that are none, sends packets, with a wake for
// each, and then something that is no packet.
func spoil(ctx context.Context, socket string, number uint32, turn int) {
	p, err := memiftest.NewSlave(socket, memiftest.SlaveConfig{Init: memiftest.Init{Version: memiftest.Version, ID: number}})
	if err != nil {
		return
	}
	defer p.Close()
	defer context.AfterFunc(ctx, func() { _ = p.Peer.Close() })()
	if p.Handshake() != nil {
		return
	}
	offer, ring := p.M2S[0], p.S2M[0]
	*offer.Head() = uint16(offer.Slots())
	if turn%2 == 0 {
		offer.Descriptor(0).Offset = 1 << 31
	}
	for range 200 {
		if head := *ring.Head(); head-*ring.Tail() < uint16(ring.Slots()-1) {
			*ring.Descriptor(head) = memiftest.Descriptor{Offset: ring.Buffers, Length: 64}
			*ring.Head() = head + 1
		}
		kick(ring)
	}
	for i := range ring.Slots() {
		*ring.Descriptor(uint16(i)) = nonsense(turn)
	}
	*ring.Head() += uint16(1 + turn%2*30_000)
	kick(ring)
	_, _ = p.End() // which is the relay's doing
}

// nonsense is outside of the region, in none, or an endless chain.
func nonsense(turn int) memiftest.Descriptor {
	return []memiftest.Descriptor{{Offset: 1 << 31, Length: 64}, {Region: 9, Length: 64}, {Length: 64, Flags: memiftest.FlagNext}}[turn%3]
}

func kick(r memiftest.Ring) { _, _ = unix.Write(r.Eventfd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// guess tries a secret.
func guess(socket string) {
	p, err := memiftest.NewSlave(socket, memiftest.SlaveConfig{Init: memiftest.Init{Version: memiftest.Version, Secret: memiftest.Secret("guess")}})
	if err != nil {
		return
	}
	defer p.Close()
	_ = p.Introduce()
}

// hesitate connects several times and says nothing.
func hesitate(socket string) {
	for range 8 {
		if p, err := memiftest.Dial(socket); err == nil {
			defer p.Close()
		}
	}
}

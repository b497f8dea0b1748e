// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/memif"
)

// refusals collects what a listener tells of peers that it did not connect.
func refusals(c *memif.ListenConfig) <-chan memif.Refusal {
	told := make(chan memif.Refusal, 1000)
	c.OnRefuse = func(r memif.Refusal) { told <- r }
	return told
}

func next[T any](t testing.TB, events <-chan T) T {
	t.Helper()
	var e T
	select {
	case e = <-events:
	case <-time.After(patience):
		t.Fatal("no event")
	}
	return e
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		master memif.Config
		slave  memif.Config
		want   memif.Reason
	}{
		{"wrong secret", memif.Config{Secret: "right"}, memif.Config{Secret: "wrong"}, memif.ErrSecret},
		{"longer secret", memif.Config{Secret: "right"}, memif.Config{Secret: "rightx"}, memif.ErrSecret},
		{"no secret", memif.Config{Secret: "right"}, memif.Config{}, memif.ErrSecret},
		{"other id", memif.Config{ID: 1}, memif.Config{ID: 2}, memif.ErrID},
		{"other mode", memif.Config{}, memif.Config{Mode: memif.IP}, memif.ErrMode},
		{"too much memory", memif.Config{MaxMemory: 1 << 20}, memif.Config{}, memif.ErrRegion},
	} {
		t.Run(c.name, func(t *testing.T) {
			nothingLeft(t)
			listening := memif.ListenConfig{}
			told := refusals(&listening)
			l := listen(t, listening)
			add(t, l, c.master)
			c.slave.Application = "app 1.0"
			slave := dial(t, l, c.slave)
			r := next(t, told)
			if !errors.Is(r.Err, c.want) {
				t.Errorf("refused because %v, want %v", r.Err, c.want)
			}
			if r.ID != c.slave.ID || r.Peer.Application != "app 1.0" || r.Peer.PID != os.Getpid() || r.Peer.UID != os.Geteuid() {
				t.Errorf("told of %+v", r)
			}
			if l.Refused()[c.want] == 0 {
				t.Errorf("counted %v", l.Refused())
			}
			// The slave was told the same.
			eventually(t, func() bool {
				s := slave.Status()
				return errors.Is(s.LastEnd, memif.ErrDisconnected) && strings.Contains(s.LastEnd.Error(), c.want.Error()) &&
					s.Ends[memif.ErrDisconnected] > 0
			}, func() string { return "the slave knows " + slave.Status().LastEnd.Error() })
		})
	}
}

func TestSecondPeerIsRefused(t *testing.T) {
	nothingLeft(t)
	listening := memif.ListenConfig{}
	told := refusals(&listening)
	l := listen(t, listening)
	master, first := add(t, l, memif.Config{}), dial(t, l, memif.Config{})
	connected(t, first)
	dial(t, l, memif.Config{})
	if r := next(t, told); !errors.Is(r.Err, memif.ErrBusy) {
		t.Errorf("refused because %v", r.Err)
	}
	both(t, master, first, mixed(50, 1518))
}

func TestPeerCheck(t *testing.T) {
	nothingLeft(t)
	secretly := errors.New("a matter of ours")
	asked := make(chan memif.Candidate, 100)
	listening := memif.ListenConfig{PeerCheck: func(c memif.Candidate) error {
		if _, err := os.Stat("/proc/self/fd/"); err == nil && c.PIDFD < 0 {
			t.Error("no pidfd")
		}
		asked <- c
		switch len(asked) {
		case 1:
			return secretly
		case 2:
			return fmt.Errorf("%w: it ended meanwhile", memif.ErrPeerGone)
		}
		return nil
	}}
	told := refusals(&listening)
	l := listen(t, listening)
	master, slave := add(t, l, memif.Config{}), dial(t, l, memif.Config{})
	if r := next(t, told); !errors.Is(r.Err, memif.ErrProcess) || !errors.Is(r.Err, secretly) {
		t.Errorf("refused because %v", r.Err)
	}
	if r := next(t, told); errors.Is(r.Err, memif.ErrProcess) || !errors.Is(r.Err, memif.ErrPeerGone) {
		t.Errorf("refused because %v", r.Err)
	}
	both(t, master, slave, mixed(5, 100)) // the third time
	if c := next(t, asked); c.PID != os.Getpid() {
		t.Errorf("asked about process %+v", c)
	}
	if got := slave.Status().Ends; got[memif.ErrDisconnected] != 1 || got[memif.ErrPeerGone] != 1 {
		t.Errorf("the slave's ends: %v", got)
	}
}

func TestStatus(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{Application: "switch"})
	master := add(t, l, memif.Config{Name: "port7"})
	slave := dial(t, l, memif.Config{Name: "memif0", Application: "app\x1b 2", RingSize: 256})
	pass(t, connected(t, slave).TxQueues()[0], connected(t, master).RxQueues()[0], []int{100, 50})
	self := memif.Process{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}
	want := memif.Status{
		Connected: true,
		Peer:      memif.Peer{Process: self, Application: "app? 2", Interface: "memif0"},
		RxQueues:  1, TxQueues: 1, RingSize: 256,
		Rx:       memif.RxCounters{Packets: 2, Bytes: 150},
		Connects: 1,
		Ends:     map[memif.Reason]uint64{},
	}
	if diff := cmp.Diff(want, master.Status()); diff != "" {
		t.Errorf("master (-want +got):\n%s", diff)
	}
	if got := slave.Status().Peer; got.Application != "switch" || got.Interface != "port7" {
		t.Errorf("the slave's peer: %+v", got)
	}
	first := connected(t, slave)
	first.Disconnect("enough")
	<-first.Done()
	eventually(t, func() bool { return master.Status().Connects == 2 }, func() string { return "not connected again" })
	s := master.Status()
	if s.Ends[memif.ErrDisconnected] != 1 || !strings.Contains(s.LastEnd.Error(), "enough") || s.Rx.Packets != 2 {
		t.Errorf("after a disconnect: %+v", s)
	}
}

func TestConfigurations(t *testing.T) {
	l := listen(t, memif.ListenConfig{})
	for _, c := range []struct {
		config memif.Config
		want   string
	}{
		{memif.Config{RingSize: 1}, "ring size is 1, want 2 to 16384"},
		{memif.Config{RingSize: 1 << 15}, "ring size is 32768"},
		{memif.Config{RingSize: 1000}, "want a power of 2"},
		{memif.Config{QueuePairs: 257}, "queue pairs"},
		{memif.Config{QueuePairs: -1}, "queue pairs"},
		{memif.Config{BufferSize: 63}, "buffer size"},
		{memif.Config{MaxPacket: 65536}, "longest packet"},
		{memif.Config{Mode: 2}, "mode is 2"},
		{memif.Config{BusyPoll: -1}, "busy poll is -1ns, want 0s to 1s"},
		{memif.Config{HandshakeTimeout: -1}, "handshake timeout is -1ns, want 1ms to 1h0m0s"},
		{memif.Config{Secret: memif.Secret(strings.Repeat("x", 24))}, "length of the secret is 24, want 0 to 23"},
	} {
		if _, err := l.Add(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("master %+v: %v", c.config, err)
		}
		if _, err := memif.Dial("nowhere", c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("slave %+v: %v", c.config, err)
		}
	}
	big := memif.Config{RingSize: memif.MaxRingSize, BufferSize: memif.MaxPacket, QueuePairs: 3}
	if _, err := memif.Dial("nowhere", big); err == nil {
		t.Error("a region of more than 4 GiB")
	}
	if _, err := memif.Listen(memif.ListenConfig{Address: socket(t), RingSize: 3}); err == nil {
		t.Error("a listener for rings of 3 slots")
	}
	add(t, l, memif.Config{ID: 1})
	if _, err := l.Add(memif.Config{ID: 1}); err == nil {
		t.Error("two interfaces of one id")
	}
	l.Close()
	if _, err := l.Add(memif.Config{}); !errors.Is(err, memif.ErrClosed) {
		t.Errorf("an interface on a closed listener: %v", err)
	}
}

func TestConnectedEnds(t *testing.T) {
	nothingLeft(t)
	i := add(t, listen(t, memif.ListenConfig{}), memif.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no time")
	cancel(why)
	if _, err := i.Connected(ctx); !errors.Is(err, why) {
		t.Errorf("with a context that is over: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, err := i.Connected(context.WithoutCancel(ctx))
		ended <- err
	}()
	i.Close()
	if err := next(t, ended); !errors.Is(err, memif.ErrClosed) {
		t.Errorf("of a closed interface: %v", err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

var (
	guesses  = flag.Int("guesses", 60, "wrong secrets that are tried")
	connects = flag.Int("connects", 1000, "silent peers that connect")
)

// Of peers that connect and say nothing, eight at a time are listened to, a
// few more wait, and the rest is turned away by the kernel. Other sockets do
// not notice.
func TestSilentCrowd(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	add(t, l, memif.Config{})
	crowd := own(t)
	var waiting, turnedAway int
	rss := residentMemory(t)
	for range *connects {
		p, err := memiftest.Dial(l.Addr().String())
		if err != nil {
			turnedAway++
			continue
		}
		waiting++
		defer p.Close()
	}
	if waiting > 8+1+16+1 || turnedAway == 0 {
		t.Errorf("%d are connected, %d turned away", waiting, turnedAway)
	}
	// Theirs and ours.
	if sockets := own(t).Sockets - crowd.Sockets; sockets > waiting+8 {
		t.Errorf("%d sockets for %d connections", sockets, waiting)
	}
	other := listen(t, memif.ListenConfig{})
	add(t, other, memif.Config{})
	var most time.Duration // that a well-behaved slave elsewhere waits
	within(t, 500*time.Millisecond, func() time.Duration {
		most = 0
		for range 20 {
			start := time.Now()
			slave := dial(t, other, memif.Config{})
			connected(t, slave)
			most = max(most, time.Since(start))
			slave.Close()
		}
		return most
	})
	expectMemory(t, rss)
	t.Logf("%d silent connects, %d turned away; slaves elsewhere waited %v at most", *connects, turnedAway, most)
}

// residentMemory is what of this process's own memory is resident, in bytes:
// RssAnon of proc_pid_status(5).
func residentMemory(t testing.TB) int {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "RssAnon:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// expectMemory fails if more than 8 MiB were lost to peers since. The crowd's own
// side is in this process too.
func expectMemory(t *testing.T, before int) {
	t.Helper()
	after := residentMemory(t)
	t.Logf("RssAnon was %d KiB, and is %d KiB", before>>10, after>>10)
	if more := after - before; more > 8<<20 {
		t.Errorf("%d KiB more are resident", more>>10)
	}
}

// A crowd that goes makes room for those behind it.
func TestSilentCrowdGoes(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{HandshakeTimeout: 300 * time.Millisecond})
	master := add(t, l, memif.Config{})
	for range 16 { // as many as the backlog holds
		p, err := memiftest.Dial(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
	}
	both(t, master, dial(t, l, memif.Config{}), []int{100})
	if got := l.Refused()[memif.ErrTimeout]; got < 8 {
		t.Errorf("%d timed out", got)
	}
}

// guess tries a secret, and gives what it got for it.
func guess(address, secret string) (memif.Reason, error) {
	p, err := memiftest.Dial(address)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	if _, err := memiftest.Expect[memiftest.Hello](p); err != nil {
		return 0, err
	}
	err = p.Ask(memiftest.Init{Version: memiftest.Version, Secret: memiftest.Secret(secret)})
	var refused memiftest.ErrRefused
	if errors.As(err, &refused) {
		return memif.Reason(refused.Code), nil
	}
	return 0, err
}

// roundTrips has a memif of another socket send packets back and forth, until it is
// asked how long they took.
func roundTrips(t *testing.T) (end func() (median, p99 time.Duration)) {
	t.Helper()
	l := listen(t, memif.ListenConfig{})
	master := add(t, l, memif.Config{})
	slave := dial(t, l, memif.Config{})
	connected(t, slave)
	ctx, cancel := context.WithCancel(t.Context())
	var took []time.Duration
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		packet := make([]byte, 100)
		for ctx.Err() == nil {
			start := time.Now()
			for _, way := range [][2]*memif.Interface{{slave, master}, {master, slave}} {
				_, sent := way[0].Write(ctx, packet)
				_, received := way[1].Read(ctx, packet)
				if err := errors.Join(sent, received); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
			took = append(took, time.Since(start))
			<-tick.C
		}
	})
	return func() (median, p99 time.Duration) {
		cancel()
		running.Wait()
		slices.Sort(took)
		return took[len(took)/2], took[len(took)*99/100]
	}
}

// After five wrong secrets one a second is looked at: the right one too, so
// that nothing can be learnt from the rest.
func TestGuessing(t *testing.T) {
	nothingLeft(t)
	listening := memif.ListenConfig{}
	told := refusals(&listening)
	l := listen(t, listening)
	add(t, l, memif.Config{Secret: "right"})
	address := l.Addr().String()
	rss, start := residentMemory(t), time.Now()
	tried, answers := 0, map[memif.Reason]int{}
	within(t, 100*time.Millisecond, func() time.Duration {
		others := roundTrips(t)
		for i := range *guesses {
			r, err := guess(address, strings.Repeat("x", i%24))
			if err != nil {
				t.Fatal(err)
			}
			answers[r]++
			if text := next(t, told).Err.Error(); strings.Contains(text, "right") {
				t.Errorf("the secret is told: %s", text)
			}
		}
		tried += *guesses
		median, p99 := others()
		t.Logf("%d wrong secrets: packets of others went there and back in %v at the median, %v at p99", *guesses, median, p99)
		return p99
	})
	seconds := int(time.Since(start).Seconds())
	if got := answers[memif.ErrSecret]; got < 5 || got > 5+seconds {
		t.Errorf("%d secrets were looked at in %d s", got, seconds)
	}
	if got := answers[memif.ErrGuesses] + answers[memif.ErrSecret]; got != tried {
		t.Errorf("answers: %v", answers)
	}
	expectMemory(t, rss)
	t.Logf("%d wrong secrets in %d s: %v", tried, seconds, answers)
	eventually(t, func() bool {
		r, err := guess(address, "right")
		return r == 0 && err == nil
	}, func() string { return "the right secret never gets in" })
}

// Handshakes that fail, however many want to, take a bounded share of time.
func TestHandshakesAreLimited(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	address := l.Addr().String()
	refused := func() (all uint64) {
		for _, n := range l.Refused() {
			all += n
		}
		return all
	}
	const least = 50 // so that there is something to limit
	start := time.Now()
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for time.Since(start) < time.Second || refused() < least && time.Since(start) < patience {
				if p, err := memiftest.Dial(address); err == nil {
					_, _ = memiftest.Expect[memiftest.Hello](p)
					_ = p.Send(memiftest.Init{Version: memiftest.Version, ID: 9})
					p.Close()
				}
			}
		})
	}
	running.Wait()
	l.Close()
	if got, most := refused(), 32+100*time.Since(start).Seconds()+8; got < least || float64(got) > most {
		t.Errorf("%d handshakes in %v, want %d to %.0f", got, time.Since(start), least, most)
	}
}

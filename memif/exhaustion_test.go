// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// Of peers that connect and say nothing, eight at a time are listened to, a
// few more wait, and the rest is turned away by the kernel. Other sockets do
// not notice.
func TestSilentCrowd(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{})
	add(t, l, memif.Config{})
	crowd := own(t)
	var connects, turnedAway int
	for range 1000 {
		p, err := memiftest.Dial(l.Addr().String())
		if err != nil {
			turnedAway++
			continue
		}
		connects++
		defer p.Close()
	}
	if connects > 8+1+16+1 || turnedAway == 0 {
		t.Errorf("%d are connected, %d turned away", connects, turnedAway)
	}
	// Theirs and ours.
	if sockets := own(t).Sockets - crowd.Sockets; sockets > connects+8 {
		t.Errorf("%d sockets for %d connections", sockets, connects)
	}
	other := listen(t, memif.ListenConfig{})
	add(t, other, memif.Config{})
	var took []time.Duration
	for range 20 {
		start := time.Now()
		slave := dial(t, other, memif.Config{})
		connected(t, slave)
		took = append(took, time.Since(start))
		slave.Close()
	}
	if most := slices.Max(took); most > 500*time.Millisecond {
		t.Errorf("a well-behaved slave elsewhere waited %v", most)
	}
}

// A crowd that goes makes room for those behind it.
func TestSilentCrowdGoes(t *testing.T) {
	nothingLeft(t)
	l := listen(t, memif.ListenConfig{HandshakeTimeout: 50 * time.Millisecond})
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

// After five wrong secrets one a second is looked at: the right one too, so
// that nothing can be learnt from the rest.
func TestGuessing(t *testing.T) {
	nothingLeft(t)
	listening := memif.ListenConfig{}
	told := refusals(&listening)
	l := listen(t, listening)
	add(t, l, memif.Config{Secret: "right"})
	address := l.Addr().String()
	start := time.Now()
	answers := map[memif.Reason]int{}
	for i := range 60 {
		r, err := guess(address, strings.Repeat("x", i%24))
		if err != nil {
			t.Fatal(err)
		}
		answers[r]++
	}
	seconds := int(time.Since(start).Seconds())
	if got := answers[memif.ErrSecret]; got < 5 || got > 5+seconds {
		t.Errorf("%d secrets were looked at in %d s", got, seconds)
	}
	if got := answers[memif.ErrGuesses] + answers[memif.ErrSecret]; got != 60 {
		t.Errorf("answers: %v", answers)
	}
	for range 60 {
		if text := next(t, told).Err.Error(); strings.Contains(text, "right") {
			t.Errorf("the secret is told: %s", text)
		}
	}
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
	start := time.Now()
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for time.Since(start) < time.Second {
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
	var refused uint64
	for _, n := range l.Refused() {
		refused += n
	}
	if most := 32 + 100*time.Since(start).Seconds() + 8; refused < 50 || float64(refused) > most {
		t.Errorf("%d handshakes in a second, want at most %.0f", refused, most)
	}
}

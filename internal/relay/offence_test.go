// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/memif/memiftest"
)

// offend connects an application, which then does something, and waits until the
// relay has ended the connection.
func (c *container) offend(t *testing.T, do func(*memiftest.Slave) error) {
	t.Helper()
	p, err := memiftest.NewSlave(c.socket(), memiftest.SlaveConfig{
		Init: memiftest.Init{Version: memiftest.Version, Secret: memiftest.Secret(secret)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	before := c.memifState(t, c.port.ID).Connects
	if err := p.Handshake(); err != nil {
		t.Fatal(err)
	}
	relaytest.Eventually(t, "it is connected", 20*time.Second, func() bool { return c.memifState(t, c.port.ID).Connects > before })
	if err := do(p); err != nil {
		t.Fatal(err)
	}
	relaytest.Eventually(t, "it is disconnected", 20*time.Second, func() bool {
		s := c.memifState(t, c.port.ID)
		var ends uint64
		for _, n := range s.Ends {
			ends += n
		}
		return ends == s.Connects
	})
}

func kick(p *memiftest.Slave) error {
	_, err := unix.Write(p.S2M[0].Eventfd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

// TestWhoOffendsIsTold: an application that was connected, and offends against
// the protocol, is counted each time, and told of once, with its process; one
// that just ends is not.
func TestWhoOffendsIsTold(t *testing.T) {
	c := newContainer(t)
	events := c.watch(t)
	for reason, do := range map[string]func(*memiftest.Slave) error{
		"impossible ring index": func(p *memiftest.Slave) error {
			*p.S2M[0].Head() = 30000
			return kick(p)
		},
		"bad descriptor": func(p *memiftest.Slave) error {
			*p.S2M[0].Descriptor(0) = memiftest.Descriptor{Region: 9, Length: 64}
			*p.S2M[0].Head() = 1
			return kick(p)
		},
		"unexpected message": func(p *memiftest.Slave) error { return p.Send(memiftest.Init{Version: memiftest.Version}) },
		"malformed message":  func(p *memiftest.Slave) error { return p.SendBytes([]byte("nonsense")) },
	} {
		for range 2 {
			c.offend(t, do)
		}
		e := expect(t, events, relayapi.EventPeerRefused)
		want := fmt.Sprintf("process %d (uid %d): cut off: %s", os.Getpid(), os.Getuid(), reason)
		if e.ID != c.port.ID || !strings.HasPrefix(e.Reason, want) {
			t.Errorf("event %+v, want %q", e, want)
		}
		relaytest.Eventually(t, reason+" is counted", 20*time.Second, func() bool { return c.memifState(t, c.port.ID).Refused[reason] == 2 })
		if s := c.memifState(t, c.port.ID); s.Ends[reason] != 2 || s.LastRefused != e.Reason {
			t.Errorf("%s: ends %v, last %q, want %q", reason, s.Ends, s.LastRefused, e.Reason)
		}
	}
	before := c.memifState(t, c.port.ID).Refused
	c.offend(t, func(p *memiftest.Slave) error { return p.Send(memiftest.Disconnect{}) })
	c.offend(t, (*memiftest.Slave).Close)
	if after := c.memifState(t, c.port.ID).Refused; len(after) != len(before) {
		t.Errorf("who ends in order is counted as refused: %v", after)
	}
	select {
	case e := <-events:
		t.Errorf("another event: %+v", e)
	default:
	}
}

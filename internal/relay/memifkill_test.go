// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"flag"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/relay/relaytest"
)

var kills = flag.Int("kills", 6, "how often a memif's application is killed and started again")

// possessions are what a connection takes, and what it must leave alone.
type possessions struct {
	Files      map[string]int // by kind
	Mappings   int            // of shared memory
	Goroutines int
	Twins      []string
}

func (c *container) possessions(t testing.TB) possessions {
	t.Helper()
	p := possessions{Files: map[string]int{}, Goroutines: runtime.NumGoroutine()}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		// The one that is gone meanwhile is that of ReadDir.
		if link, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			kind, _, _ := strings.Cut(link, ":[")
			p.Files[kind]++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	p.Mappings = strings.Count(string(maps), "/memfd:")
	links, err := c.network.NL.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		p.Twins = append(p.Twins, l.Attrs().Name)
	}
	return p
}

// TestDPDKKilled kills the application while it connects, answers and sends.
// After each time everything is as before there was one.
func TestDPDKKilled(t *testing.T) {
	c := newContainer(t)
	c.dpdk(t, c.pod, 0, ",secret="+secret).Kill() // what is made once, is made now
	gone := func() bool { return c.memifState(t, c.port.ID).Application == nil }
	relaytest.Eventually(t, "it is gone", 20*time.Second, gone)
	before, same := c.possessions(t), 0 // its last file is closed a moment later
	relaytest.Eventually(t, "nothing more of it goes", 20*time.Second, func() bool {
		now := c.possessions(t)
		if same++; !cmp.Equal(before, now) {
			before, same = now, 0
		}
		return same == 20
	})
	var noticed []time.Duration
	diff := ""
	defer func() {
		if t.Failed() {
			t.Logf("after %d kills (-before +after):\n%s", len(noticed), diff)
		}
	}()
	for i := range *kills {
		p := c.dpdk(t, c.pod, 0, ",secret="+secret)
		switch i % 3 {
		case 0: // while it connects, or after
		case 1:
			c.waitForApplication(t, c.port.ID)
			p.Forward(t, "icmpecho")
			c.network.Ping(t, podV4)
		case 2:
			c.waitForApplication(t, c.port.ID)
			p.Forward(t, "txonly")
		}
		p.Kill()
		begin := time.Now()
		relaytest.Eventually(t, "its death is noticed", 20*time.Second, gone)
		relaytest.Eventually(t, "all is as before", 20*time.Second, func() bool {
			diff = cmp.Diff(before, c.possessions(t))
			return diff == ""
		})
		noticed = append(noticed, time.Since(begin))
	}
	slices.Sort(noticed)
	s := c.memifState(t, c.port.ID)
	t.Logf("%d kills, %d connections, ends %v; all is as before after %v at the median, %v at most",
		*kills, s.Connects, s.Ends, noticed[len(noticed)/2], noticed[len(noticed)-1])
	c.kernel(t, c.dial(t, 0)) // and the next is served
	c.network.Ping(t, podV6)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// The sides of the bulk delete: as many links as a node's reap can meet, and as
// few single ones as tell their price.
const (
	reaped = 400
	single = 20
)

// reap is P4: links deleted by their group against one by one, and what becomes
// of a burst of DELs.
func reap(t *testing.T, s *sheet) {
	t.Helper()
	bulk, ones := &figure.Arm{Name: "group of 400"}, &figure.Arm{Name: "single"}
	group, lone := space(t, freshName("bulk")), space(t, freshName("single"))
	for range max(1, s.pairs/2) {
		const leaving = 0x4243
		makeLinks(t, group, reaped, leaving)
		names := makeLinks(t, lone, single, leaving)

		begin := time.Now()
		if err := nl.DeleteGroup(group, leaving); err != nil {
			t.Fatal(err)
		}
		bulk.Add(perLink(begin, reaped))

		handle := rtnl(t, lone)
		begin = time.Now()
		for _, name := range names {
			if err := handle.LinkDel(named(name)); err != nil {
				t.Fatal(err)
			}
		}
		ones.Add(perLink(begin, single))
		handle.Close()
	}
	s.Ratio("P4 bulk reap vs single deletes, per link", ones.Median()/bulk.Median(), figure.AtLeast(20), "ms", bulk, ones)
	delBurst(t, s)
}

func perLink(begin time.Time, links int) float64 {
	return time.Since(begin).Seconds() * 1000 / float64(links)
}

// makeLinks makes veths, whose peers are in the same namespace, and gives the
// names of half the ends: the others go with them.
func makeLinks(t *testing.T, ns *netns.Handle, count int, group uint32) []string {
	t.Helper()
	handle := rtnl(t, ns)
	defer handle.Close()
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprint("a", i)
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Group = names[i], group
		if err := handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprint("b", i)}); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func named(name string) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return &netlink.Device{LinkAttrs: attrs}
}

func rtnl(t *testing.T, ns *netns.Handle) *nl.Handle {
	t.Helper()
	handle, err := nl.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// delBurst says how long the DELs of many pods take, with their namespaces
// destroyed as runtimes do, and how long it is until nothing is left.
func delBurst(t *testing.T, s *sheet) {
	t.Helper()
	n := startNode(t)
	each, gone := &figure.Arm{Name: "DEL"}, &figure.Arm{Name: "until nothing is left"}
	for range s.bursts {
		pods := n.fill(s.pods)
		took := make(chan time.Duration, len(pods))
		begin := time.Now()
		err := inParallel(pods, func(p *harness.Pod) error {
			one, err := n.del(p)
			took <- one
			p.Destroy()
			return err
		})
		answered := time.Since(begin)
		if err != nil {
			t.Fatal(err)
		}
		n.waitGone(0)
		gone.Took(time.Since(begin))
		for range pods {
			each.Took(<-took)
		}
		s.Note("P4 DEL of %d pods, %d links, 16 at once: answered after %s, nothing left after %s",
			len(pods), len(pods)*interfaces, answered.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	}
	s.Note("%s ms, p99 %s", each, figure.Number(each.Percentile(99)))
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// tornDown is how many namespaces go at once.
const tornDown = 100

// teardown is the second half of P5: ADD while the kernel tears down namespaces
// that have links in them, against a quiet kernel.
func teardown(t *testing.T, s *sheet) {
	t.Helper()
	n := startNode(t)
	holder := space(t, freshName("holder"))
	quiet, busy := &figure.Arm{Name: "quiet"}, &figure.Arm{Name: "during teardown"}
	const adds = 5 // per round
	for range max(1, s.pairs*2/adds) {
		pods := n.pool(2 * adds)
		doomed := makeDoomed(t, holder)
		for _, p := range pods[:adds] {
			quiet.Took(n.mustAdd(p))
		}
		for _, path := range doomed {
			if err := netns.Unpin(path); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range pods[adds:] {
			took := n.mustAdd(p)
			if linksLeft(t, holder) > 0 {
				busy.Took(took)
			}
		}
		for _, p := range pods {
			n.mustDel(p)
			p.Destroy()
		}
		n.waitGone(0)
		harness.Eventually(t, time.Minute, func() error {
			if left := linksLeft(t, holder); left > 0 {
				return fmt.Errorf("%d namespaces are left", left)
			}
			return nil
		})
	}
	s.Ratio("P5 p99 of ADD during the teardown of 100 namespaces vs the quiet p50", busy.Percentile(99)/quiet.Median(), figure.AtMost(4), "ms", quiet, busy)
	s.Note("p99 %s ms during teardown, %s ms quiet", figure.Number(busy.Percentile(99)), figure.Number(quiet.Percentile(99)))
}

// makeDoomed makes namespaces with a link each to the holder, where it tells
// whether they still exist.
func makeDoomed(t *testing.T, holder *netns.Handle) []string {
	t.Helper()
	handle := rtnl(t, holder)
	defer handle.Close()
	paths := make([]string, tornDown)
	for i := range paths {
		paths[i] = "/run/netns/" + freshName("doomed")
		if err := netns.Pin(paths[i]); err != nil {
			t.Fatal(err)
		}
		ns, err := netns.Open(paths[i])
		if err != nil {
			t.Fatal(err)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprint("d", i)
		err = handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.FD())})
		if err != nil {
			t.Fatal(err)
		}
		_ = ns.Close()
	}
	return paths
}

// linksLeft counts the links to namespaces that still exist.
func linksLeft(t *testing.T, holder *netns.Handle) int {
	t.Helper()
	handle := rtnl(t, holder)
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	return len(links) - 1 // lo
}

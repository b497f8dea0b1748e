// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
)

func TestPercentile(t *testing.T) {
	a := arm{name: "a", values: []float64{30, 10, 20, 40}}
	got := []float64{a.percentile(0), a.median(), a.percentile(75), a.percentile(76), a.percentile(99), a.percentile(100)}
	if diff := cmp.Diff([]float64{10, 20, 30, 40, 40, 40}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSheet(t *testing.T) {
	var out strings.Builder
	s := &sheet{out: &out}
	ours, theirs := &arm{name: "ours"}, &arm{name: "theirs"}
	for i := range 20 {
		ours.took(time.Duration(i) * time.Millisecond)
		theirs.took(time.Duration(100+i) * time.Millisecond)
	}
	s.ratio("P1 faster", theirs.median()/ours.median(), atLeast(12.2), "ms", ours, theirs)
	s.ratio("P2 slower", 1.304, atMost(1.3), "ms", ours)
	s.value("P10 idle", 30, " MiB", atMost(30))
	s.value("P3 rate", 141.4, " pods/s", goal{})
	s.skip("P7", errors.New("no iperf3"))
	s.sum()
	const want = `P1 faster: 12.1x (goal ≥ 12.2x: missed); min/med/max ms: ours 0/9/19.0, theirs 100/109/119; n=20
P2 slower: 1.30x (goal ≤ 1.3x: missed); min/med/max ms: ours 0/9/19.0; n=20
P10 idle: 30.0 MiB (goal ≤ 30 MiB: reached)
P3 rate: 141 pods/s
P7: skipped: no iperf3
1 goals reached, 2 missed, 1 figures skipped
    missed: P1 faster
    missed: P2 slower
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// A link that goes to another namespace and one that comes from there are both
// counted, or the count of P3 proves nothing.
func TestMovesAreCounted(t *testing.T) {
	need.Root(t)
	node, pod := space(t, freshName("node")), space(t, freshName("pod"))
	inNode, inPod := rtnl(t, node), rtnl(t, pod)
	defer inNode.Close()
	defer inPod.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", pod.FD())
	seen := harness.Watch(t, node, path)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "there"
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: "stays"}
	if err := inNode.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	if err := inNode.LinkSetNsFd(link, pod.FD()); err != nil {
		t.Fatal(err)
	}
	back, err := inPod.LinkByName("there")
	if err != nil {
		t.Fatal(err)
	}
	if err := inPod.LinkSetNsFd(back, node.FD()); err != nil {
		t.Fatal(err)
	}
	seen.End()
	if seen.Moved != 2 {
		t.Errorf("%d moves are counted, want 2", seen.Moved)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
)

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

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"

	"github.com/polynic/polynic/internal/netns"
)

// byHand makes two pods as an administrator would, with the shape that a custom
// interface of ours has: a veth each, a /32 address, the gateway as a permanent
// neighbour, a routing table and two rules of its own; in the node a /32 route
// and a permanent neighbour per pod.
func byHand(t *testing.T) (node *netns.Handle, pods [2]flowEnd) {
	t.Helper()
	node = space(t, freshName("byhand"))
	run(t, node, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	run(t, node, "ip", "route", "add", "local", gateway, "dev", "lo", "table", "local")
	for i := range pods {
		name := freshName("hand")
		pod := space(t, name)
		address := fmt.Sprintf("10.1.64.%d", 2+i)
		ours, theirs := fmt.Sprintf("02:42:00:00:00:%02x", i), fmt.Sprintf("06:42:00:00:00:%02x", i)
		end := fmt.Sprint("pod", i)
		for _, args := range [][]string{
			{"link", "add", end, "address", ours, "mtu", "1450", "type", "veth", "peer", "name", "veth1", "address", theirs, "mtu", "1450", "netns", name},
			{"link", "set", end, "addrgenmode", "none", "up"},
			{"route", "add", address, "dev", end, "scope", "link"},
			{"neigh", "add", address, "dev", end, "lladdr", theirs, "nud", "permanent"},
		} {
			run(t, node, "ip", args...)
		}
		for _, args := range [][]string{
			{"link", "set", "veth1", "up"},
			{"address", "add", address, "dev", "veth1"},
			{"neigh", "add", gateway, "dev", "veth1", "lladdr", ours, "nud", "permanent"},
			{"route", "add", gateway, "dev", "veth1", "scope", "link", "table", "1001"},
			{"route", "add", "default", "via", gateway, "dev", "veth1", "table", "1001"},
			{"rule", "add", "from", address, "lookup", "1001", "priority", "1001"},
			{"rule", "add", "oif", "veth1", "lookup", "1001", "priority", "1001"},
		} {
			run(t, pod, "ip", args...)
		}
		pods[i] = flowEnd{ns: pod, address: address}
	}
	return node, pods
}

// masqueraded is byHand on a node that hides its pods from the outside, which
// makes the kernel track every connection.
func masqueraded(t *testing.T) [2]flowEnd {
	t.Helper()
	node, pods := byHand(t)
	run(t, node, "nft", "add table ip hand; add chain ip hand outbound { type nat hook postrouting priority srcnat; }; "+
		"add rule ip hand outbound ip saddr 10.1.0.0/16 ip daddr != 10.1.0.0/16 masquerade")
	return pods
}

// flowEnd is where a flow begins or ends.
type flowEnd struct {
	ns      *netns.Handle
	address string
}

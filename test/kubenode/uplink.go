// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"testing"

	"github.com/polynic/polynic/internal/netns"
)

// The addresses of the node and of the world outside.
const (
	UplinkAddress   = "172.30.0.2"
	UplinkAddress6  = "fd10:30::2"
	OutsideAddress  = "172.30.0.1"
	OutsideAddress6 = "fd10:30::1"
	// DocumentsAddress is one more of the node's: the one that the documents have.
	DocumentsAddress = "192.168.56.101"
)

// Uplink joins the network namespace of the test, the node's, with another one
// that is the world outside, which knows no pod and no Service.
func Uplink(t testing.TB) (outside *netns.Handle) {
	t.Helper()
	for _, command := range []string{
		"ip netns add outside",
		"ip link add uplink type veth peer name node netns outside",
		"ip addr add " + UplinkAddress + "/24 dev uplink",
		"ip addr add " + UplinkAddress6 + "/64 dev uplink nodad",
		"ip link set uplink up",
		"ip -n outside addr add " + OutsideAddress + "/24 dev node",
		"ip -n outside addr add " + OutsideAddress6 + "/64 dev node nodad",
		"ip -n outside link set node up",
		"ip -n outside link set lo up",
		"ip addr add " + DocumentsAddress + "/32 dev lo",
		"ip -n outside route add " + DocumentsAddress + " via " + UplinkAddress,
		"ip route add default via " + OutsideAddress,
		"ip route add default via " + OutsideAddress6,
	} {
		run(t, command)
	}
	outside, err := netns.Open("/run/netns/outside")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	return outside
}

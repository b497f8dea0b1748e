// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// flowTo is a flow that asked for the service's address and was sent to a backend.
func flowTo(backend netip.AddrPort) *netlink.ConntrackFlow {
	f := &netlink.ConntrackFlow{}
	f.Forward.Protocol = 17
	f.Forward.DstIP, f.Forward.DstPort = net.IP{10, 96, 0, 1}, 53
	f.Reverse.SrcIP, f.Reverse.SrcPort = backend.Addr().AsSlice(), backend.Port()
	return f
}

// Flows that could not be deleted after one change are deleted after a later one, but
// not where their backend serves again.
func TestFlowsThatAreOwed(t *testing.T) {
	backend := func(n byte) desired.Backend {
		return desired.Backend{Address: netip.AddrFrom4([4]byte{10, 1, 0, n}), Port: 53}
	}
	dns := func(backends ...desired.Backend) desired.Service {
		return desired.Service{
			Key:       desired.ServiceKey{Protocol: model.UDP},
			Frontends: []desired.Frontend{{Kind: desired.FrontendCluster, Address: netip.AddrFrom4([4]byte{10, 96, 0, 1}), Port: 53}},
			Backends:  backends,
		}
	}
	var owed flows
	steps := []desired.Service{
		dns(backend(1), backend(2), backend(3)), dns(backend(2), backend(3)), dns(backend(3)), dns(backend(2), backend(3)), dns(backend(2)),
	}
	for i := range steps[1:] {
		var f flows
		f.service(steps[i], steps[i+1])
		owed.merge(f)
	}
	for n, want := range map[byte]bool{1: true, 2: false, 3: true, 4: false} {
		if got := owed.MatchConntrackFlow(flowTo(netip.AddrPortFrom(backend(n).Address, 53))); got != want {
			t.Errorf("flow to backend %d deleted: %v, want %v", n, got, want)
		}
	}
}

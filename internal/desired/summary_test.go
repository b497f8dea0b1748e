// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// wired is what a pod with eth0 and tap1 should have.
func wired() (veth desired.Veth, tap desired.Tap, route desired.Route, neighbor desired.Neighbor) {
	address, gateway := netip.MustParsePrefix("10.1.1.2/32"), netip.MustParseAddr("10.1.1.1")
	port := desired.Port{
		Pod: desired.PodEnd{
			Name: "eth0", MAC: model.MAC{2, 1},
			Addresses: []netip.Prefix{address}, Neighbors: []desired.PodNeighbor{{IP: gateway, MAC: model.MAC{2, 2}}},
			Routes: []desired.PodRoute{{Table: desired.MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: gateway}},
			Rules:  []desired.PodRule{{Priority: 1000, From: address, Table: 1001}},
		},
		Network: "default", SwitchMAC: model.MAC{2, 2}, MTU: 1450, PodName: "default/web", CNINetwork: "polynic",
	}
	other := port
	other.Pod.Name = "tap1"
	return desired.Veth{Port: port}, desired.Tap{Port: other, Queues: 2},
		desired.Route{Network: "default", Interface: "eth0", Dst: address},
		desired.Neighbor{Network: "default", Interface: "eth0", IP: address.Addr(), MAC: model.MAC{2, 1}}
}

func TestSummary(t *testing.T) {
	for want, spoil := range map[string]func(have desired.Set){
		"": func(desired.Set) {},
		"eth0 is missing": func(have desired.Set) {
			veth, _, route, neighbor := wired()
			delete(have, veth.Key())
			delete(have, route.Key())
			delete(have, neighbor.Key())
		},
		"eth0 has MTU 1400, not 1450; tap1 is not held by the relay as it should be": func(have desired.Set) {
			veth, tap, _, _ := wired()
			veth.MTU, tap.Queues = 1400, 0
			have.Add(veth, tap)
		},
		"tap1 has ends of different MTU, is down, has 1 queues, not 2": func(have desired.Set) {
			_, tap, _, _ := wired()
			tap.MTU, tap.Queues, tap.Pod.MAC = 0, 1, model.MAC{}
			have.Add(tap)
		},
		"eth0 has MAC 02:09:00:00:00:00, not 02:01:00:00:00:00, is down at the switch, is not marked as this pod's at the switch, " +
			"lacks address 10.1.1.2/32, neighbor 10.1.1.1, route 0.0.0.0/0 via 10.1.1.1, rule 1000 from 10.1.1.2/32 table 1001": func(have desired.Set) {
			veth, _, _, _ := wired()
			veth.Pod = desired.PodEnd{Name: "eth0", MAC: model.MAC{2, 9}}
			veth.SwitchMAC, veth.PodName = model.MAC{}, ""
			have.Add(veth)
		},
		"eth0 has MAC 02:09:00:00:00:00 for 10.1.1.2 at the switch, not 02:01:00:00:00:00, lacks route 10.1.1.2/32 at the switch": func(have desired.Set) {
			_, _, route, neighbor := wired()
			neighbor.MAC = model.MAC{2, 9}
			have.Add(neighbor)
			delete(have, route.Key())
		},
	} {
		veth, tap, route, neighbor := wired()
		should, have := desired.NewSet(veth, tap, route, neighbor), desired.NewSet(veth, tap, route, neighbor)
		spoil(have)
		if got := desired.Summary(desired.Diff(have, should)); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}

// Whatever differs is told of.
func TestSummaryOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := desired.Diff(drawSet(t, "have"), drawSet(t, "want"))
		if text := desired.Summary(changes); (text == "") != (len(changes) == 0) || strings.Contains(text, "\n") {
			t.Errorf("of %v it says %q", changes, text)
		}
	})
}

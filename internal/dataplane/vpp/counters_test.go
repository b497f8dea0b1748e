// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"testing"

	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"

	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/need"
)

// VPP's counters are told by the ports that they are of, a tap's also where the relay
// holds it.
func TestCounters(t *testing.T) {
	for name, config := range map[string]vpptest.Config{"taps of the relay's": {}, "taps of VPP's": {VhostNet: true}} {
		t.Run(name, func(t *testing.T) {
			s := vpptest.Start(t, config)
			w := newWired(t, s.Socket, s.Stats)
			a := w.add(1)
			want := map[desired.Key]model.Counters{}
			peer := vpptest.Dial(t, s.Socket)
			kinds := map[string]desired.Kind{"eth0": desired.KindVeth, "veth1": desired.KindVeth, "tap1": desired.KindTap, "tap2": desired.KindTap}
			all := vpptest.List[interfaces.SwInterfaceDetails](peer, &interfaces.SwInterfaceDump{SwIfIndex: ^interface_types.InterfaceIndex(0)})
			for n, i := range all {
				count := uint64(n + 1)
				s.SetTraffic(uint32(i.SwIfIndex), vpptest.Traffic{RxPackets: count, RxBytes: 100 * count, TxPackets: 2 * count, TxBytes: 200 * count, Drops: 1})
				for port, kind := range kinds {
					if w.driver.PortName(a.ID, port) == i.InterfaceName {
						want[desired.Key{Owner: a.ID, Kind: kind, Name: port}] = model.Counters{
							RxPackets: count, RxBytes: 100 * count, RxDrops: 1, TxPackets: 2 * count, TxBytes: 200 * count,
						}
					}
				}
			}
			got, err := w.driver.Counters(t.Context())
			if err != nil || len(got) != len(kinds) {
				t.Fatalf("%d ports are counted, error %v; want %d", len(got), err, len(kinds))
			}
			for key, c := range want {
				if got[key] != c {
					t.Errorf("%s: %+v, want %+v", key, got[key], c)
				}
			}
			if len(want) != len(kinds) {
				t.Errorf("%d ports were found by their names, want %d", len(want), len(kinds))
			}
		})
	}
}

// What pods send and get is counted at their ports, from VPP's side.
func TestCountersOfVPP(t *testing.T) {
	need.Command(t, need.Kernel, "ping")
	w, _ := onVPP(t)
	a, b := w.add(1), w.add(2)
	if err := w.run(a, "ping -q -c20 -i0.05 -s1000 -W5 -I tap1 10.1.1.21"); err != nil {
		t.Fatal(err)
	}
	const pings, size = 20, 1000
	for _, key := range []desired.Key{
		{Owner: a.ID, Kind: desired.KindTap, Name: "tap1"}, {Owner: b.ID, Kind: desired.KindVeth, Name: "eth0"},
	} {
		got, err := w.driver.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := got[key]
		if c.RxPackets < pings || c.TxPackets < pings || c.RxBytes < pings*size || c.TxBytes < pings*size || c.RxPackets > 3*pings || c.TxPackets > 3*pings {
			t.Errorf("%s: %+v; want %d packets each way", key, c, pings)
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"testing"

	"github.com/polynic/polynic/internal/desired"
)

// What pods send and get is counted at their ports, from the switch's side.
func TestCounters(t *testing.T) {
	w := newWired(t)
	a := w.add(1)
	w.add(2)
	of := func(container string, kind desired.Kind, name string) desired.Key {
		return desired.Key{Owner: desired.Owner{ContainerID: container, IfName: "eth0"}, Kind: kind, Name: name}
	}
	before, err := w.driver.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const pings, size = 20, 1000
	w.mustRun(a, "ping -q -c20 -i0.01 -s1000 -W2 -I tap1 10.1.1.21")
	after, err := w.driver.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []desired.Key{of("c1", desired.KindTap, "tap1"), of("c2", desired.KindVeth, "eth0")} {
		was, is := before[key], after[key]
		for what, n := range map[string]uint64{
			"packets from the pod": is.RxPackets - was.RxPackets, "packets to the pod": is.TxPackets - was.TxPackets,
			"kilobytes from the pod": (is.RxBytes - was.RxBytes) / size, "kilobytes to the pod": (is.TxBytes - was.TxBytes) / size,
		} {
			if n < pings || n > pings+10 {
				t.Errorf("%s: %d %s, want %d", key, n, what, pings)
			}
		}
	}
	for _, key := range []desired.Key{of("c1", desired.KindVeth, "eth0"), of("c2", desired.KindTap, "tap1")} {
		if n := after[key].RxPackets - before[key].RxPackets; n > 10 {
			t.Errorf("%s: %d packets, and it was not used", key, n)
		}
	}
}

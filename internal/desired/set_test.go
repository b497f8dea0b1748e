// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// drawObject gives an object out of few keys and few contents, so that two sets
// often have the same key with another content.
func drawObject(t *rapid.T) desired.Object {
	owner := desired.Owner{ContainerID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "container"), IfName: "eth0"}
	name := rapid.SampledFrom([]string{"eth0", "if1"}).Draw(t, "name")
	content := rapid.IntRange(1, 3).Draw(t, "content")
	ip := netip.AddrFrom4([4]byte{10, 1, 1, byte(rapid.IntRange(2, 3).Draw(t, "address"))})
	port := desired.Port{Owner: owner, Pod: desired.PodEnd{Name: name}, Network: "default", MTU: 1400 + content}
	switch rapid.IntRange(1, 5).Draw(t, "kind") {
	case 1:
		return desired.Network{Name: name, Masquerade: content == 1}
	case 2:
		return desired.Veth{Port: port}
	case 3:
		return desired.Tap{Port: port, Queues: content}
	case 4:
		return desired.Neighbor{Owner: owner, Network: "default", Interface: name, IP: ip, MAC: model.MAC{2, byte(content)}}
	default:
		return desired.Route{Owner: owner, Network: "default", Interface: name, Dst: netip.PrefixFrom(ip, 32)}
	}
}

func drawSet(t *rapid.T, label string) desired.Set {
	return desired.NewSet(rapid.SliceOfN(rapid.Custom(drawObject), 0, 12).Draw(t, label)...)
}

// Carrying out the changes one by one turns what there is into what is wanted.
func TestDiffLeadsFromHaveToWant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := drawSet(t, "have"), drawSet(t, "want")
		now := desired.NewSet(have.Sorted()...)
		for _, c := range desired.Diff(have, want) {
			old, exists := now[c.Key()]
			if exists != (c.Old != nil) || exists && !old.Equal(c.Old) {
				t.Fatalf("%s: there is %v, and the change says %v", c, old, c.Old)
			}
			delete(now, c.Key())
			if c.New != nil {
				now.Add(c.New)
			}
		}
		if diff := cmp.Diff(want.String(), now.String()); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
		if left := desired.Diff(now, want); len(left) > 0 {
			t.Errorf("still to be changed: %v", left)
		}
	})
}

// What is removed goes before anything is made; a kind is made after those it
// stands on, and removed before them.
func TestDiffOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := desired.Diff(drawSet(t, "have"), drawSet(t, "want"))
		for i := 1; i < len(changes); i++ {
			a, b := changes[i-1], changes[i]
			switch {
			case a.New == nil && b.New == nil && a.Key().Kind < b.Key().Kind:
				t.Errorf("%s is removed before %s", a, b)
			case a.New != nil && b.New == nil:
				t.Errorf("%s is removed after %s is made", b, a)
			case a.New != nil && b.New != nil && a.Key().Kind > b.Key().Kind:
				t.Errorf("%s is made before %s", a, b)
			}
		}
	})
}

func TestDiffText(t *testing.T) {
	owner := desired.Owner{ContainerID: "abc", IfName: "eth0"}
	port := desired.Port{Owner: owner, Pod: desired.PodEnd{Name: "if1"}, Network: "default", MTU: 1450, PodName: "shop/web"}
	dst := netip.MustParsePrefix("10.1.1.2/32")
	have := desired.NewSet(
		desired.Network{Name: "default"},
		desired.Veth{Port: port},
		desired.Route{Owner: owner, Network: "default", Interface: "if1", Dst: dst},
	)
	want := desired.NewSet(
		desired.Network{Name: "default", Masquerade: true},
		desired.Tap{Port: port, Queues: 1},
		desired.Route{Owner: owner, Network: "default", Interface: "if1", Dst: dst},
	)
	var lines []string
	for _, c := range desired.Diff(have, want) {
		lines = append(lines, c.String())
	}
	golden := `- veth abc/eth0 if1 pod shop/web network default mtu 1450 mac 00:00:00:00:00:00 switch-mac 00:00:00:00:00:00
~ network node default masquerade
+ tap abc/eth0 if1 pod shop/web network default mtu 1450 mac 00:00:00:00:00:00 switch-mac 00:00:00:00:00:00 queues 1
~ route abc/eth0 default 10.1.1.2/32 dev if1`
	if diff := cmp.Diff(golden, strings.Join(lines, "\n")); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

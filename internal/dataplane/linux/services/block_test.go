// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/polynic/polynic/internal/desired"
)

// Whatever the order of two lists, what goes and what comes makes one into the other,
// each backend once.
func TestDifference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() []desired.Backend {
		var list []desired.Backend
		for _, n := range random.Perm(8)[:random.IntN(9)] {
			list = append(list, desired.Backend{Address: netip.AddrFrom4([4]byte{10, 1, 0, byte(n)}), Port: 80, Local: random.IntN(4) == 0})
		}
		if random.IntN(2) == 0 {
			return inOrder(list)
		}
		return list
	}
	for range 20000 {
		before, after := some(), some()
		m := difference(before, after)
		got := slices.DeleteFunc(slices.Clone(before), func(b desired.Backend) bool { return slices.Contains(m.gone, b) })
		if len(got) != len(before)-len(m.gone) {
			t.Fatalf("%v to %v: gone %v", before, after, m.gone)
		}
		got = append(got, m.come...)
		slices.SortFunc(got, desired.Backend.Compare)
		if want := slices.SortedFunc(slices.Values(after), desired.Backend.Compare); !slices.Equal(got, want) {
			t.Fatalf("%v to %v: gone %v, come %v", before, after, m.gone, m.come)
		}
		for _, b := range m.come {
			if slices.Contains(before, b) {
				t.Fatalf("%v to %v: %s comes, and is there", before, after, b)
			}
		}
	}
}

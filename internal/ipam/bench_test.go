// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"fmt"
	"testing"
)

// The time of an allocation does not depend on how many addresses are taken.
func BenchmarkAllocate(b *testing.B) {
	for _, used := range []int{10, 60000} {
		b.Run(fmt.Sprintf("used=%d", used), func(b *testing.B) {
			a := newAllocator(b, "10.1.0.0/16", "fd00::/64")
			for range used {
				allocate(b, a)
			}
			b.ReportAllocs()
			for b.Loop() {
				addrs, err := a.Allocate()
				if err != nil {
					b.Fatal(err)
				}
				a.Release(addrs...)
			}
		})
	}
}

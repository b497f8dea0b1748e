// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/relay/rings"
)

// ipv6 is a frame from and to addresses, behind a tag if there is one.
func ipv6(from, to string, tag ...byte) []byte {
	header := append(append(make([]byte, 12), tag...), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64)
	return slices.Concat(header, netip.MustParseAddr(from).AsSlice(), netip.MustParseAddr(to).AsSlice())
}

// TestLinkLocalAddressesAreBounded: an application has two at a time, and another
// a minute later; everything else is the kernel's to judge.
func TestLinkLocalAddressesAreBounded(t *testing.T) {
	const kernel, group, minute = "fe80::1", "ff02::1:ff00:1", time.Minute
	clock := time.Now()
	passes := rings.Within(netip.MustParseAddr(kernel), func() time.Time { return clock })
	for i, step := range []struct {
		after time.Duration
		frame []byte
		want  bool
	}{
		{0, ipv6("fe80::a", kernel), true},
		{minute / 2, ipv6("fe80::b", group), true},
		{0, ipv6("fe80::c", group), false},
		{0, ipv6("febf:ffff::c", "fd00::1"), false}, // the prefix has 10 bits
		{0, ipv6("fe80::a", "fd00::1"), true},
		{minute / 2, ipv6("fe80::c", kernel), true}, // in place of a
		{0, ipv6("fe80::a", kernel), false},
		{0, ipv6("fe80::b", kernel), true},
		{minute / 2, ipv6("fe80::a", kernel), true}, // in place of b
		{0, ipv6("fe80::b", kernel), false},

		{0, ipv6("fd00::2", "fe80::a"), false}, // whom the kernel would look for
		{0, ipv6("fd00::2", kernel), true},
		{0, ipv6("fec0::2", "fd00::1"), true},
		{0, ipv6("::", group), true},
		{0, ipv6("fe80::a", kernel, 0x81, 0, 0, 0), false},
		{0, ipv6("fe80::a", kernel, 0x88, 0xa8, 0, 0), false},
		{0, ipv6("fe80::d", kernel)[:53], true}, // cut off: nothing for the kernel
		{0, nil, true},
		{0, append(make([]byte, 12), 8, 6, 0, 1), true},
	} {
		clock = clock.Add(step.after)
		if got := passes(step.frame); got != step.want {
			t.Errorf("frame %d, %x: passes is %v, want %v", i, step.frame, got, step.want)
		}
	}
}

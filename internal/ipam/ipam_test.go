// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/internal/ipam"
)

func newAllocator(t testing.TB, ranges ...string) *ipam.Allocator {
	t.Helper()
	var prefixes []netip.Prefix
	for _, r := range ranges {
		prefixes = append(prefixes, netip.MustParsePrefix(r))
	}
	a, err := ipam.New(prefixes...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func allocate(t testing.TB, a *ipam.Allocator) string {
	t.Helper()
	addrs, err := a.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	return words(addrs)
}

func words[T interface{ String() string }](list []T) string {
	var all []string
	for _, one := range list {
		all = append(all, one.String())
	}
	return strings.Join(all, " ")
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestAddressesOfANode(t *testing.T) {
	a := newAllocator(t, "fd00:10:1:1::/64", "10.1.1.0/24")
	if got, want := words(a.Ranges()), "10.1.1.0/24 fd00:10:1:1::/64"; got != want {
		t.Errorf("ranges %s, want %s", got, want)
	}
	if got, want := words(a.Gateways()), "10.1.1.1 fd00:10:1:1::1"; got != want {
		t.Errorf("gateways %s, want %s", got, want)
	}
	for _, want := range []string{"10.1.1.2 fd00:10:1:1::2", "10.1.1.3 fd00:10:1:1::3"} {
		if got := allocate(t, a); got != want {
			t.Errorf("allocated %s, want %s", got, want)
		}
	}
	if a.Used() != 4 {
		t.Errorf("%d addresses in use, want 4", a.Used())
	}
}

func TestReleasedAddressRests(t *testing.T) {
	a := newAllocator(t, "10.1.1.0/29") // for pods: .2 to .5
	for range 2 {
		allocate(t, a)
	}
	a.Release(addr("10.1.1.2"))
	for _, want := range []string{"10.1.1.4", "10.1.1.5", "10.1.1.2"} {
		if got := allocate(t, a); got != want {
			t.Errorf("allocated %s, want %s", got, want)
		}
	}
}

func TestFullRangeSaysWhichAndHowMany(t *testing.T) {
	a := newAllocator(t, "10.1.1.0/24", "fd00::/64")
	for range 252 {
		allocate(t, a)
	}
	_, err := a.Allocate()
	if !errors.Is(err, ipam.ErrFull) {
		t.Fatalf("error %v, want ErrFull", err)
	}
	if want := "pod range 10.1.1.0/24: no address is left (all 252 are taken)"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if a.Used() != 2*252 {
		t.Errorf("%d in use after the refusal, want %d: nothing may be taken", a.Used(), 2*252)
	}
	a.Release(addr("10.1.1.100"))
	if got, want := allocate(t, a), "10.1.1.100 fd00::fe"; got != want {
		t.Errorf("allocated %s, want %s", got, want)
	}
}

func TestTakeAfterRestart(t *testing.T) {
	a := newAllocator(t, "10.1.1.0/24")
	if err := a.Take(addr("10.1.1.2"), addr("10.1.1.9"), addr("10.1.1.5")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10.1.1.6", "10.1.1.7", "10.1.1.8", "10.1.1.10"} {
		if got := allocate(t, a); got != want {
			t.Errorf("allocated %s, want %s", got, want)
		}
	}
}

func TestTakeRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		take string
		want error
	}{
		{"taken", "10.1.1.2", ipam.ErrTaken},
		{"twice in one call", "10.1.1.50", ipam.ErrTaken},
		{"other range", "10.1.2.2", ipam.ErrOutside},
		{"other family", "fd00::2", ipam.ErrOutside},
		{"the network", "10.1.1.0", ipam.ErrOutside},
		{"the gateway", "10.1.1.1", ipam.ErrOutside},
		{"reserved", "10.1.1.254", ipam.ErrOutside},
		{"broadcast", "10.1.1.255", ipam.ErrOutside},
		{"IPv4 as IPv6", "::ffff:10.1.1.7", ipam.ErrOutside},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAllocator(t, "10.1.1.0/24")
			allocate(t, a)
			err := a.Take(addr("10.1.1.50"), addr(c.take))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.take) {
				t.Errorf("error %v, want one that names %s: %v", err, c.take, c.want)
			}
			if a.Used() != 1 {
				t.Errorf("%d in use after the refusal, want 1", a.Used())
			}
			if got := allocate(t, a); got != "10.1.1.3" {
				t.Errorf("then allocated %s, want 10.1.1.3", got)
			}
		})
	}
	a := newAllocator(t, "10.1.1.0/24")
	if err := a.Take(netip.Addr{}); !errors.Is(err, ipam.ErrOutside) {
		t.Errorf("no address: error %v, want ErrOutside", err)
	}
}

func TestReleaseOfWhatIsNotTaken(t *testing.T) {
	a := newAllocator(t, "10.1.1.0/29")
	a.Release(addr("10.1.1.3"), addr("10.1.1.1"), addr("10.9.9.9"), addr("fd00::1"), netip.Addr{})
	if a.Used() != 0 {
		t.Errorf("%d in use, want 0", a.Used())
	}
	var got []string
	for range 4 {
		got = append(got, allocate(t, a))
	}
	want := []string{"10.1.1.2", "10.1.1.3", "10.1.1.4", "10.1.1.5"}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestLargeRangeIsCapped(t *testing.T) {
	a := newAllocator(t, "fd00::/48")
	for i := range 65532 {
		addrs, err := a.Allocate()
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		if i == 65531 && addrs[0] != addr("fd00::fffd") {
			t.Errorf("last address %s, want fd00::fffd", addrs[0])
		}
	}
	if _, err := a.Allocate(); !errors.Is(err, ipam.ErrFull) {
		t.Errorf("one more: %v, want ErrFull", err)
	}
	// The same low bytes further up the range are another address.
	if err := a.Take(addr("fd00:0:0:1::5")); !errors.Is(err, ipam.ErrOutside) {
		t.Errorf("beyond the cap: %v, want ErrOutside", err)
	}
}

func TestNewRefuses(t *testing.T) {
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		name   string
		ranges []netip.Prefix
		want   string
	}{
		{"none", nil, "no pod range"},
		{"not set", []netip.Prefix{{}}, "not a network"},
		{"host bits", []netip.Prefix{prefix("10.1.1.7/24")}, "10.1.1.7/24: not a network"},
		{"mapped", []netip.Prefix{netip.PrefixFrom(addr("::ffff:10.1.0.0"), 112)}, "not a network"},
		{"small", []netip.Prefix{prefix("10.1.1.0/30")}, "10.1.1.0/30: no room for pods (want a length of at most 29)"},
		{"family", []netip.Prefix{prefix("10.1.1.0/24"), prefix("10.2.1.0/24")}, "one range per family"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ipam.New(c.ranges...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

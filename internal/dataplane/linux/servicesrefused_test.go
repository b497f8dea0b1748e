// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

// impossible is a service that nft refuses: its backend is of the other family.
func impossible(n int) desired.Service {
	s := plainService(n, 1)
	s.Backends[0].Address = netip.MustParseAddr("fd00::1")
	return s
}

// A service that nft refuses is left out, and told; what else is asked for with it is
// done, and what was there before stays.
func TestServicesThatNftRefuses(t *testing.T) {
	d := newWired(t).driver
	var list []desired.Service
	for n := range 20 {
		list = append(list, plainService(n, 2))
	}
	if err := d.ApplyServices(t.Context(), list, nil); err != nil {
		t.Fatal(err)
	}
	one, other := plainService(0, 2), plainService(1, 2)
	one.Frontends, other.Frontends = other.Frontends, one.Frontends
	changed := []desired.Service{impossible(100), plainService(3, 3), plainService(21, 2), impossible(101), plainService(22, 2), one, other}
	err := d.ApplyServices(t.Context(), changed, nil)
	refused, is := errors.AsType[dataplane.RefusedServices](err)
	if !is || len(refused) != 2 || refused[changed[0].Key] == nil || refused[changed[3].Key] == nil {
		t.Fatalf("refused: %v", err)
	}
	found, err := d.ObserveServices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(list[4:], changed[1], changed[2], changed[4], one, other) {
		if !found[s.Key].Equal(s) {
			t.Errorf("%s\nis there as %s", s, found[s.Key])
		}
	}
	if _, is := found[changed[0].Key]; is {
		t.Error("a part of what was refused is there")
	}
	// One alone, too.
	if _, is := errors.AsType[dataplane.RefusedServices](d.ApplyServices(t.Context(), changed[:1], nil)); !is {
		t.Error("a service that is refused alone is not told of")
	}
}

// Where nothing is accepted it is not the services' fault.
func TestNftThatAcceptsNothing(t *testing.T) {
	d := newWired(t).driver
	err := d.ApplyServices(t.Context(), []desired.Service{impossible(1), impossible(2), impossible(3)}, nil)
	if _, is := errors.AsType[dataplane.RefusedServices](err); is || err == nil {
		t.Errorf("applied: %v; want an error that is of no service", err)
	}
}

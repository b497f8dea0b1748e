// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/api/podif"
)

// requests draws requests that Validate accepts, from the whole alphabet of
// names and networks.
func requests() *rapid.Generator[podif.Request] {
	names := rapid.StringMatching(`[A-Za-z0-9_.@#+=!~ü-]{1,7}`).Filter(func(name string) bool {
		return !slices.Contains([]string{"eth0", "lo", ".", "..", "all", "default"}, name)
	})
	networks := rapid.OneOf(
		rapid.Just(podif.DefaultNetwork), rapid.Just(podif.StubNetwork),
		rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,4}){0,2}`))
	return rapid.Custom(func(t *rapid.T) podif.Request {
		return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) podif.Interface {
			return podif.Interface{
				Name:    names.Draw(t, "name"),
				Type:    rapid.SampledFrom(podif.Types()).Draw(t, "type"),
				Network: networks.Draw(t, "network"),
			}
		}), 1, 12, func(i podif.Interface) string { return i.Name }).Draw(t, "request")
	})
}

func TestPrintedRequestParsesToItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := requests().Draw(t, "request")
		got, problems := podif.Parse(want.String())
		if len(problems) > 0 {
			t.Fatalf("%q: %v", want.String(), problems)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("parsed %q (-want +got):\n%s", want.String(), diff)
		}
		if problems := podif.Validate(want); len(problems) > 0 {
			t.Fatalf("validate %q: %v", want, problems)
		}
	})
}

func TestSpacesAndExplicitDefaultsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := requests().Draw(t, "request")
		space := func() string {
			return rapid.SampledFrom([]string{"", " ", "\t", "\n", "\r\n  ", "\u00a0"}).Draw(t, "space")
		}
		var loose []string
		for _, i := range want {
			parts := []string{i.Name, i.Type.String(), i.Network}
			if i.Network == podif.DefaultNetwork {
				parts = parts[:rapid.IntRange(2, 3).Draw(t, "parts")]
			}
			for n := range parts {
				parts[n] = space() + parts[n] + space()
			}
			loose = append(loose, strings.Join(parts, "/"))
		}
		value := strings.Join(loose, ",")
		got, problems := podif.Parse(value)
		if len(problems) > 0 {
			t.Fatalf("%q: %v", value, problems)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("parsed %q (-want +got):\n%s", value, diff)
		}
	})
}

func TestValueHasABound(t *testing.T) {
	element := "abcdefghijklmno/memif/default"
	fits := element + strings.Repeat(",", podif.MaxValueLen-len(element))
	r, problems := podif.Parse(fits)
	if err := problems.Err(); err != nil || len(r) != 1 {
		t.Errorf("value of the greatest length: %v, %v", r, err)
	}
	r, problems = podif.Parse(fits + ",")
	want := "contivpp.io/custom-if: the value has 16385 bytes; at most 16384 are read"
	if err := problems.Err(); r != nil || err == nil || err.Error() != want {
		t.Errorf("value one longer: %v, %v, want %s", r, err, want)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/podif"
)

func request(name string, kind podif.Type, network string) podif.Request {
	return podif.Request{
		{Name: "first", Type: podif.Veth, Network: podif.StubNetwork},
		{Name: name, Type: kind, Network: network},
	}
}

// many asks for so many interfaces.
func many(number int) podif.Request {
	var r podif.Request
	for n := range number {
		r = append(r, podif.Interface{Name: fmt.Sprint("i", n), Type: podif.Tap, Network: podif.DefaultNetwork})
	}
	return r
}

// Of a value that asks for too much the first interface is named that is.
func TestTooManyInterfaces(t *testing.T) {
	if r, problems := podif.Parse(many(podif.MaxInterfaces).String() + ","); len(r) != podif.MaxInterfaces || problems.Err() != nil {
		t.Errorf("%d interfaces, %v", len(r), problems)
	}
	value := many(podif.MaxInterfaces+1).String() + ", i66/Tap"
	r, problems := podif.Parse(value)
	if len(r) > 0 || len(problems) != 1 || value[problems[0].Offset:][:problems[0].Length] != "i64/tap" ||
		!strings.Contains(problems[0].Error(), "a pod has at most 64 custom interfaces") {
		t.Errorf("%v, %v, want the 65th refused", r, problems)
	}
}

func TestValidateRequest(t *testing.T) {
	for _, test := range []struct {
		what     string
		request  podif.Request
		reserved []string
		want     string // the reason; empty for none
		mark     string // what the position points at in the canonical form
	}{
		{what: "empty request", request: nil},
		{what: "good request", request: request("tap1", podif.Tap, "l3net"), reserved: []string{"eth0"}},
		{
			what: "CNI_IFNAME", request: request("net1", podif.Tap, "stub"), reserved: []string{"net1"},
			want: "taken by the interface that the container runtime asked for", mark: "net1",
		},
		{
			what: "eth0 where the runtime asked for another", request: request("eth0", podif.Tap, "stub"),
			reserved: []string{"net1"}, want: "taken by the pod's main interface", mark: "eth0",
		},
		{what: "no name", request: request("", podif.Tap, "stub"), want: "name is missing", mark: "/tap/stub"},
		{what: "comma in a name", request: request("a/tap,b", podif.Tap, "stub"), want: `contains "/"`, mark: "a/tap,b"},
		{what: "space at an end", request: request(" a", podif.Tap, "stub"), want: "space (U+0020)", mark: " a"},
		{what: "duplicate", request: request("first", podif.Tap, "default"), want: "used twice", mark: "first"},
		{what: "no type", request: request("a", 0, "stub"), want: "is not known", mark: "type(0)"},
		{what: "type that does not exist", request: request("a", 9, "stub"), want: "is not known", mark: "type(9)"},
		{what: "bad network", request: request("a", podif.Tap, "a/b"), want: "cannot be the name of a network", mark: "a/b"},
		{what: "as many as there may be", request: many(podif.MaxInterfaces)},
		{
			what: "one more, and another", request: many(podif.MaxInterfaces + 2),
			want: "at most 64 custom interfaces", mark: "i64/tap",
		},
		{what: "no network", request: request("a", podif.Tap, ""), want: "cannot be the name of a network", mark: ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			problems := podif.Validate(test.request, test.reserved...)
			if test.want == "" {
				if len(problems) > 0 {
					t.Fatalf("unexpected: %v", problems)
				}
				return
			}
			if len(problems) != 1 || !strings.Contains(problems[0].Reason, test.want) {
				t.Fatalf("problems %v, want one with %q", problems, test.want)
			}
			p, canonical := problems[0], test.request.String()
			if got := canonical[p.Offset : p.Offset+p.Length]; got != test.mark || p.Offset <= len("first/veth") {
				t.Errorf("points at %q (byte %d) of %q, want %q", got, p.Offset, canonical, test.mark)
			}
		})
	}
}

func TestValidateBoundsTheWhole(t *testing.T) {
	problems := podif.Validate(request(strings.Repeat("a", podif.MaxValueLen), podif.Tap, "default"))
	if len(problems) != 1 || !strings.Contains(problems[0].Reason, "at most 16384") {
		t.Errorf("problems %.200v, want the bound", problems)
	}
}

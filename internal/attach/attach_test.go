// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

func TestAddAnswersWithEveryInterface(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	r := b.request(b.pod("web", "tap1/tap, veth1/veth/stub"))
	got := b.mustAdd(r)
	gateway := netip.MustParseAddr("10.1.1.1")
	prefix := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	want := attach.Result{NetnsPath: r.NetnsPath, Interfaces: []attach.ResultInterface{
		{
			Name: "eth0", Type: podif.Veth, Network: "default", MAC: model.PodMAC("c1", "eth0"), MTU: 1450,
			Addresses: prefix("10.1.1.2/32"), Gateways: []netip.Addr{gateway},
			Routes: []attach.ResultRoute{
				{Dst: netip.MustParsePrefix("10.1.1.1/32")},
				{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: gateway},
			},
		},
		{
			Name: "tap1", Type: podif.Tap, Network: "default", MAC: model.PodMAC("c1", "tap1"), MTU: 1450,
			Addresses: prefix("10.1.1.3/32"),
		},
		{Name: "veth1", Type: podif.Veth, Network: "stub", MAC: model.PodMAC("c1", "veth1"), MTU: 1450},
	}}
	options := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, b.mustAdd(r), options); diff != "" {
		t.Errorf("a repeated ADD answers differently (-want +got):\n%s", diff)
	}
	if err := b.attacher.Del(t.Context(), r); err != nil {
		t.Error(err)
	}
	b.expectEmpty()
}

// Whoever reads the agent's log, or the pod's Events, learns what of a pod's
// annotations comes to nothing; once, however often kubelet asks.
func TestAddTellsWarnings(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	ref := b.pod("web", "tap1/tap")
	pod := b.pods.pods["web"]
	_, pod.Problems = podif.FromAnnotations(map[string]string{
		podif.CustomIfAnnotation: "tap1/tap,", "contivpp.io/custom-ifs": "tap2/tap",
	})
	b.pods.pods["web"] = pod
	r := b.request(ref)
	b.mustAdd(r)
	b.mustAdd(r)
	lines := b.logs.lines("level=WARN")
	for _, warning := range []string{
		"contivpp.io/custom-if: an empty element", "contivpp.io/custom-ifs: this annotation is not read",
	} {
		if !slices.ContainsFunc(lines, func(line string) bool {
			return strings.Contains(line, "pod=default/web") && strings.Contains(line, warning)
		}) {
			t.Errorf("nothing of %q in %q", warning, lines)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines, want one for each warning: %q", len(lines), lines)
	}
	const want = "default/web 1: contivpp.io/custom-if: an empty element is skipped; remove the comma that is too many"
	if told := b.warned.told; len(told) != 2 || told[0] != want {
		t.Errorf("told %q, want two, the first being %q", told, want)
	}
}

func TestRefusals(t *testing.T) {
	b := start(t, "10.1.1.0/29") // room for 4
	first := b.request(b.pod("first", ""))
	b.mustAdd(first)
	for name, test := range map[string]struct {
		alter func(*attach.Request)
		pod   string
		code  cniwire.Code
		text  string
	}{
		"unknown type": {pod: "tap1/tun", code: cniwire.CodeRefused, text: `tun`},
		"reserved":     {pod: "eth0/tap", code: cniwire.CodeRefused, text: "eth0"},
		"memif":        {pod: "tap1/tap,memif1/memif", code: cniwire.CodeRefused, text: "but no container of it has memif devices"},
		"network":      {pod: "tap1/tap/blue", code: cniwire.CodeRefused, text: `interface tap1: there is no network "blue"`},
		"pool full":    {pod: "a/tap,b/tap,c/tap", code: cniwire.CodeTryAgainLater, text: "10.1.1.0/29"},
		"no such pod": {
			alter: func(r *attach.Request) { r.Pod.Name = "ghost" },
			code:  cniwire.CodeTryAgainLater, text: "pod default/ghost is not known",
		},
		"another pod of the name": {
			alter: func(r *attach.Request) { r.Pod.UID = "old" },
			code:  cniwire.CodeRefused, text: "the sandbox is for an earlier one",
		},
		"no namespace": {
			alter: func(r *attach.Request) { r.NetnsPath = "/run/netns/none" },
			code:  cniwire.CodeUnknownContainer, text: "/run/netns/none",
		},
		"empty namespace": {
			alter: func(r *attach.Request) { r.NetnsPath = "" },
			code:  cniwire.CodeInvalidEnvironment, text: "CNI_NETNS",
		},
		"attached elsewhere": {
			alter: func(r *attach.Request) { r.ID = first.ID },
			code:  cniwire.CodeInvalidEnvironment, text: "attached already",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.request(b.pod("web", test.pod))
			if test.alter != nil {
				test.alter(&r)
			}
			_, err := b.attacher.Add(t.Context(), r)
			if attach.CodeOf(err) != test.code || err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v (code %d), want %q with code %d", err, attach.CodeOf(err), test.text, test.code)
			}
		})
	}
	if err := b.attacher.Del(t.Context(), first); err != nil {
		t.Error(err)
	}
	b.expectEmpty()
	b.mustAdd(b.request(b.pod("last", "a/tap,b/tap,c/tap"))) // every address is free again
}

// A DEL answers before the links are gone. Until they are, nobody else gets
// their addresses.
func TestAddressesWaitForTheirLinks(t *testing.T) {
	b := start(t, "10.1.1.0/29") // room for 4
	leaves, comes := b.request(b.pod("leaves", "a/tap,b/veth,c/tap")), b.request(b.pod("comes", ""))
	b.mustAdd(leaves)
	att, _ := b.inventory.Attachment(leaves.ID)
	b.driver.Jam(att.Netns, errors.New("links are in use"))
	if err := b.attacher.Del(t.Context(), leaves); err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		if _, err := b.attacher.Add(t.Context(), comes); attach.CodeOf(err) != cniwire.CodeTryAgainLater {
			t.Errorf("error %v, want the address to be waited for", err)
		}
	}
	refused()
	b.eventually(func() error {
		if len(b.logs.lines("links are in use")) == 0 {
			return errors.New("removing was not tried")
		}
		return nil
	})
	refused()
	b.driver.Jam(att.Netns, nil)
	b.eventually(func() error {
		_, err := b.attacher.Add(t.Context(), comes)
		return err
	})
}

func TestWhatFailsInTheDataplaneLeavesNothing(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	for _, test := range []struct {
		err  error
		code cniwire.Code
	}{
		{errors.New("no memory"), cniwire.CodeInternal},
		{dataplane.ErrAway, cniwire.CodeTryAgainLater},
		{dataplane.ErrNetnsGone, cniwire.CodeUnknownContainer},
		{dataplane.ErrTaken, cniwire.CodeRefused},
	} {
		r := b.request(b.pod("web", "tap1/tap,veth1/veth"))
		b.driver.Before(func(_ context.Context, c desired.Change) error {
			if c.New != nil && c.Key().Name == "tap1" {
				return test.err
			}
			return nil
		})
		_, err := b.attacher.Add(t.Context(), r)
		if !errors.Is(err, test.err) || attach.CodeOf(err) != test.code || !strings.Contains(err.Error(), "default/web") {
			t.Errorf("error %v (code %d), want %v with code %d and the pod", err, attach.CodeOf(err), test.err, test.code)
		}
		b.driver.Before(func(context.Context, desired.Change) error { return nil })
		b.expectEmpty()
	}
}

// A runtime that repeats an ADD hears why it failed, and its sandbox, which runs,
// keeps what it has.
func TestARepeatedAddTakesNothingAway(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	r := b.request(b.pod("web", "tap1/tap"))
	b.mustAdd(r)
	before, _ := b.driver.State()
	lost := errors.New("no more taps")
	b.driver.Before(func(_ context.Context, c desired.Change) error {
		if c.New != nil && c.Key().Name == "tap1" {
			return lost
		}
		return nil
	})
	b.driver.Lose(desired.Key{Owner: r.ID, Kind: desired.KindTap, Name: "tap1"})
	b.eventually(func() error {
		if _, err := b.reconciler.State(r.ID); err == nil {
			return errors.New("the loss is not noticed")
		}
		return nil
	})
	if _, err := b.attacher.Add(t.Context(), r); !errors.Is(err, lost) {
		t.Errorf("error %v, want %v", err, lost)
	}
	if a, ok := b.inventory.Attachment(r.ID); !ok || a.Leaving || b.journal.size() != 1 {
		t.Errorf("attachment %+v, %v: it was taken back", a, ok)
	}
	now, _ := b.driver.State()
	veth := desired.Key{Owner: r.ID, Kind: desired.KindVeth, Name: "eth0"}
	if now[veth] == nil || !now[veth].Equal(before[veth]) {
		t.Errorf("of eth0 is left %v", now[veth])
	}
	b.driver.Before(func(context.Context, desired.Change) error { return nil })
	b.mustAdd(r)
	if after, _ := b.driver.State(); after.String() != before.String() {
		t.Errorf("the dataplane has\n%s, want\n%s", after, before)
	}
}

func TestFullDiskRefusesAddAndNotDel(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	attached, late := b.request(b.pod("web", "")), b.request(b.pod("late", ""))
	b.mustAdd(attached)
	full := errors.New("no space left on device")
	b.journal.setError(full)
	if _, err := b.attacher.Add(t.Context(), late); !errors.Is(err, full) {
		t.Errorf("ADD: %v, want %v", err, full)
	}
	if err := b.attacher.Del(t.Context(), attached); err != nil {
		t.Errorf("DEL: %v", err)
	}
	b.journal.setError(nil)
	b.mustAdd(late)
}

func TestGCAndSweepTakeWhatIsTheirs(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	var requests []attach.Request
	for range 4 {
		requests = append(requests, b.request(b.pod("web", "")))
	}
	requests[3].Network = "other"
	for _, r := range requests {
		b.mustAdd(r)
	}
	if err := b.attacher.GC(t.Context(), "polynic", []model.AttachmentID{requests[0].ID, {ContainerID: "x", IfName: "eth0"}}); err != nil {
		t.Fatal(err)
	}
	attached := func() []string {
		var ids []string
		for _, a := range b.inventory.Attachments() {
			if !a.Leaving {
				ids = append(ids, a.ID.ContainerID)
			}
		}
		slices.Sort(ids)
		return ids
	}
	if diff := cmp.Diff([]string{"c1", "c4"}, attached()); diff != "" {
		t.Errorf("after GC (-want +got):\n%s", diff)
	}
	if err := netns.Unpin(requests[3].NetnsPath); err != nil {
		t.Fatal(err)
	}
	if err := b.attacher.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"c1"}, attached()); diff != "" {
		t.Errorf("after the sweep (-want +got):\n%s", diff)
	}
	if err := b.attacher.Tombstone(t.Context(), requests[0].ID); err != nil {
		t.Error(err)
	}
	b.expectEmpty()
}

func TestLateAddOfADeletedSandboxIsRefused(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	r := b.request(b.pod("web", ""))
	if err := b.attacher.Del(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := b.attacher.Add(t.Context(), r); attach.CodeOf(err) != cniwire.CodeRefused {
		t.Errorf("error %v, want it refused", err)
	}
	r.Pod = model.PodRef{} // a runtime without pods may use an id again
	b.mustAdd(r)
}

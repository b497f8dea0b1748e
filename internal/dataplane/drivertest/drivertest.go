// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package drivertest is the suite that every dataplane driver must pass, the
// fake of the tests included: what holds here is what may be relied upon above
// the contract.
package drivertest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// Harness is one dataplane under test, empty at the start.
type Harness struct {
	// Open makes a driver over the dataplane; the suite closes it, and may open
	// another one then, as after a restart.
	Open func() (dataplane.Driver, error)
	// Pod makes a pod's network namespace.
	Pod func() model.Netns
	// Folder makes a folder of a container, for memif sockets.
	Folder func() string
	// Kill ends a pod's namespace.
	Kill func(model.Netns)
	// Jam makes a pod's namespace one that lives and cannot be entered, until
	// free is called.
	Jam func(model.Netns) (free func())
	// Occupy makes an interface in a pod that is not ours.
	Occupy func(pod model.Netns, name string)
	// Occupied reports whether that interface is as it was made.
	Occupied func(pod model.Netns, name string) bool
	// Adapt, if it is set, adds to the node's plan what the dataplane needs beside.
	Adapt func(*plan.Node)
}

// Run runs the suite. newHarness is called once for every test in it.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	tests := map[string]func(*bench){
		"what is made is what is observed":   makeAndObserve,
		"making twice changes nothing":       makeTwice,
		"a restart finds everything":         restart,
		"removing":                           remove,
		"removing what is not there":         removeAbsent,
		"one that cannot be reaped":          reapWithoutOne,
		"each object is missed and restored": loseEach,
		"altering":                           alter,
		"a type changes under its name":      changeType,
		"strays are found and removed":       strays,
		"the pod's namespace is gone":        namespaceGone,
		"the name is taken in the pod":       nameTaken,
		"an unknown network":                 unknownNetwork,
		"many owners at once":                manyOwners,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, Harness: newHarness(t)}
			b.reopen()
			t.Cleanup(func() {
				if err := b.driver.Close(); err != nil {
					t.Error(err)
				}
			})
			b.mustApply(desired.Owner{}, desired.Diff(nil, desired.NewSet(b.node().Objects()...)))
			test(b)
		})
	}
}

// bench is one test of the suite.
type bench struct {
	*testing.T
	Harness
	driver dataplane.Driver
	pods   int
}

func (b *bench) reopen() {
	b.Helper()
	if b.driver != nil {
		if err := b.driver.Close(); err != nil {
			b.Fatal(err)
		}
	}
	driver, err := b.Open()
	if err != nil {
		b.Fatal(err)
	}
	b.driver = driver
}

func (b *bench) node() plan.Node {
	n := plan.Node{Default: desired.Network{
		Name:       model.DefaultNetwork,
		Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd10:1:0:1::1")},
		Pods:       []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24"), netip.MustParsePrefix("fd10:1:0:1::/64")},
		Inside:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48")},
		Masquerade: true,
	}}
	if b.Adapt != nil {
		b.Adapt(&n)
	}
	return n
}

// attachment makes a pod with one interface of every kind that there is.
func (b *bench) attachment() model.Attachment {
	b.pods++
	n := b.pods
	address := func(i int) []netip.Addr {
		host := 10*n + i
		return []netip.Addr{
			netip.MustParseAddr(fmt.Sprintf("10.1.1.%d", host)),
			netip.MustParseAddr(fmt.Sprintf("fd10:1:0:1::%d", host)),
		}
	}
	folder := b.Folder()
	memif := func(id uint32) *model.Memif {
		return &model.Memif{ID: id, Container: "app", Allocation: filepath.Base(folder), Folder: folder, Secret: model.NewSecret("bcdfghjklmnpqrstvwxz")}
	}
	return model.Attachment{
		ID:    model.AttachmentID{ContainerID: fmt.Sprintf("%064d", n), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)},
		Netns: b.Pod(),
		MTU:   1450, Network: "net",
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: address(1)},
			{Name: "tap1", Type: podif.Tap, Queues: 2, Network: model.DefaultNetwork, Addresses: address(2)},
			{Name: "veth1", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: address(3)},
			{Name: "tap2", Type: podif.Tap, Queues: 1, Network: model.StubNetwork},
			{Name: "veth2", Type: podif.Veth, Network: model.StubNetwork},
			{Name: "memif1", Type: podif.Memif, Queues: 1, Network: model.DefaultNetwork, Addresses: address(4), Memif: memif(0)},
			{Name: "memif2", Type: podif.Memif, Queues: 2, Network: model.StubNetwork, Memif: memif(1)},
		},
	}
}

func (b *bench) objects(a model.Attachment) desired.Set {
	b.Helper()
	list, err := b.node().Attachment(a)
	if err != nil {
		b.Fatal(err)
	}
	return desired.NewSet(list...)
}

// apply carries out changes of one owner and returns its error.
func (b *bench) apply(owner desired.Owner, changes []desired.Change) error {
	b.Helper()
	results := b.applyAll(map[desired.Owner][]desired.Change{owner: changes})
	return results[owner]
}

func (b *bench) mustApply(owner desired.Owner, changes []desired.Change) {
	b.Helper()
	if err := b.apply(owner, changes); err != nil {
		b.Fatal(err)
	}
}

// applyAll makes sure that every owner hears once how it went.
func (b *bench) applyAll(changes map[desired.Owner][]desired.Change) map[desired.Owner]error {
	b.Helper()
	var work []dataplane.Work
	for owner, list := range changes {
		work = append(work, dataplane.Work{Owner: owner, Changes: list})
	}
	var mu sync.Mutex
	results := map[desired.Owner]error{}
	b.driver.Apply(b.Context(), work, func(owner desired.Owner, err error) {
		mu.Lock()
		defer mu.Unlock()
		if _, told := results[owner]; told {
			b.Errorf("%s was told twice", owner)
		}
		results[owner] = err
	})
	if len(results) != len(work) {
		b.Fatalf("%d owners of %d were told", len(results), len(work))
	}
	return results
}

func (b *bench) observe(want desired.Set) desired.Set {
	b.Helper()
	found, err := b.driver.Observe(b.Context(), dataplane.Scope{Want: want})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

func (b *bench) observeEverything(want desired.Set) desired.Set {
	b.Helper()
	found, err := b.driver.Observe(b.Context(), dataplane.Scope{Want: want, Everything: true})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

// expect fails unless exactly the wanted objects are there.
func (b *bench) expect(want desired.Set) {
	b.Helper()
	if diff := cmp.Diff(want.String(), b.observe(want).String()); diff != "" {
		b.Errorf("dataplane (-want +got):\n%s", diff)
	}
}

// reap makes an end of what was removed, of everybody but those listed.
func (b *bench) reap(stuck ...desired.Owner) {
	b.Helper()
	left, err := b.driver.Reap(context.WithoutCancel(b.Context()))
	if err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(stuck, slices.Collect(maps.Keys(left)), cmpopts.EquateEmpty()); diff != "" {
		b.Errorf("owners of whom something is left (-want +got):\n%s\n%v", diff, left)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"errors"
	"maps"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

func makeAndObserve(b *bench) {
	a := b.attachment()
	want := b.objects(a)
	b.mustApply(a.ID, desired.Diff(nil, want))
	b.expect(want)
	b.expect(desired.NewSet(b.node().Objects()...))
}

func makeTwice(b *bench) {
	a := b.attachment()
	want := b.objects(a)
	for range 2 {
		b.mustApply(a.ID, desired.Diff(nil, want))
		b.mustApply(desired.Owner{}, desired.Diff(nil, desired.NewSet(b.node().Objects()...)))
	}
	b.expect(want)
	b.expect(desired.NewSet(b.node().Objects()...))
}

func restart(b *bench) {
	want := desired.NewSet(b.node().Objects()...)
	for range 3 {
		a := b.attachment()
		b.mustApply(a.ID, desired.Diff(nil, b.objects(a)))
		maps.Copy(want, b.objects(a))
	}
	b.reopen()
	if diff := cmp.Diff(want.String(), b.observeEverything(want).String()); diff != "" {
		b.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func remove(b *bench) {
	gone, stays := b.attachment(), b.attachment()
	for _, a := range []model.Attachment{gone, stays} {
		b.mustApply(a.ID, desired.Diff(nil, b.objects(a)))
	}
	b.mustApply(gone.ID, desired.Diff(b.objects(gone), nil))
	if left := b.observe(b.objects(gone)); len(left) > 0 {
		b.Errorf("left after removal:\n%s", left)
	}
	b.reap()
	if diff := cmp.Diff(b.objects(stays).String(), b.observeEverything(b.objects(stays)).String()); diff != "" {
		b.Errorf("after the reap (-want +got):\n%s", diff)
	}
	// What was cut off is no obstacle to making it again, reaped or not.
	b.mustApply(gone.ID, desired.Diff(nil, b.objects(gone)))
	b.mustApply(gone.ID, desired.Diff(b.objects(gone), nil))
	b.mustApply(gone.ID, desired.Diff(nil, b.objects(gone)))
	b.reap()
	b.expect(b.objects(gone))
}

func removeAbsent(b *bench) {
	a := b.attachment()
	b.mustApply(a.ID, desired.Diff(b.objects(a), nil))
	b.reap()
	b.mustApply(a.ID, desired.Diff(nil, b.objects(a)))
	b.Kill(a.Netns)
	b.mustApply(a.ID, desired.Diff(b.objects(a), nil))
	b.reap()
	if left := b.observeEverything(nil); len(left) > 0 {
		b.Errorf("left over:\n%s", left)
	}
}

// One pod that cannot be cleaned keeps nobody else's addresses.
func reapWithoutOne(b *bench) {
	stuck, goes := b.attachment(), b.attachment()
	for _, a := range []model.Attachment{stuck, goes} {
		b.mustApply(a.ID, desired.Diff(nil, b.objects(a)))
		b.mustApply(a.ID, desired.Diff(b.objects(a), nil))
	}
	free := b.Jam(stuck.Netns)
	for range 2 {
		b.reap(stuck.ID)
	}
	free()
	b.reap()
	if left := b.observeEverything(nil); len(left) > 0 {
		b.Errorf("left over:\n%s", left)
	}
}

func loseEach(b *bench) {
	a := b.attachment()
	want := b.objects(a)
	b.mustApply(a.ID, desired.Diff(nil, want))
	for key, object := range want {
		b.mustApply(a.ID, []desired.Change{{Old: object}})
		found := b.observe(want)
		if _, ok := found[key]; ok {
			b.Errorf("%s is observed after its removal", key)
		}
		b.mustApply(a.ID, desired.Diff(found, want))
		b.expect(want)
		b.reap()
		b.expect(want)
	}
}

func alter(b *bench) {
	a := b.attachment()
	before := b.objects(a)
	b.mustApply(a.ID, desired.Diff(nil, before))
	a.MTU = 1400
	want := b.objects(a)
	for key, o := range want {
		if v, ok := o.(desired.Veth); ok && v.Pod.Name == "veth1" {
			v.SwitchMAC[5] ^= 1
			v.Pod.Neighbors[0].MAC = v.SwitchMAC
			v.Pod.Neighbors[1].MAC = v.SwitchMAC
			want[key] = v
		}
	}
	if found := b.observe(want); found.String() == want.String() {
		b.Error("what is there is reported as what is wanted")
	}
	b.mustApply(a.ID, desired.Diff(before, want))
	b.expect(want)
}

func changeType(b *bench) {
	a := b.attachment()
	before := b.objects(a)
	b.mustApply(a.ID, desired.Diff(nil, before))
	a.Interfaces[1].Type, a.Interfaces[2].Type = podif.Veth, podif.Tap
	a.Interfaces[2].Queues = 1
	want := b.objects(a)
	changes := desired.Diff(before, want)
	// The pod's end of a removed tap lives until the reap, under its name.
	removals := 0
	for removals < len(changes) && changes[removals].New == nil {
		removals++
	}
	b.mustApply(a.ID, changes[:removals])
	b.reap()
	b.mustApply(a.ID, changes[removals:])
	b.expect(want)
}

func strays(b *bench) {
	known, stray := b.attachment(), b.attachment()
	for _, a := range []model.Attachment{known, stray} {
		b.mustApply(a.ID, desired.Diff(nil, b.objects(a)))
	}
	b.reopen()
	found := b.observeEverything(b.objects(known))
	mine := desired.Set{}
	for key, o := range found {
		if key.Owner == stray.ID {
			mine[key] = o
		}
	}
	if len(mine) == 0 {
		b.Fatalf("nothing of the stray among\n%s", found)
	}
	b.mustApply(stray.ID, desired.Diff(mine, nil))
	b.reap()
	b.expect(b.objects(known))
	for key := range b.observeEverything(nil) {
		if key.Owner == stray.ID {
			b.Errorf("left of the stray: %s", key)
		}
	}
}

func namespaceGone(b *bench) {
	a := b.attachment()
	b.Kill(a.Netns)
	if err := b.apply(a.ID, desired.Diff(nil, b.objects(a))); !errors.Is(err, dataplane.ErrNetnsGone) {
		b.Errorf("error %v, want ErrNetnsGone", err)
	}
	b.mustApply(a.ID, desired.Diff(b.objects(a), nil))
	b.reap()
	if left := b.observeEverything(nil); len(left) > 0 {
		b.Errorf("left over:\n%s", left)
	}
}

func nameTaken(b *bench) {
	for _, name := range []string{"veth1", "tap1"} {
		a := b.attachment()
		b.Occupy(a.Netns, name)
		err := b.apply(a.ID, desired.Diff(nil, b.objects(a)))
		if !errors.Is(err, dataplane.ErrTaken) || !strings.Contains(err.Error(), name) {
			b.Errorf("error %v, want ErrTaken, and %s named", err, name)
		}
		b.mustApply(a.ID, desired.Diff(b.objects(a), nil))
		b.reap()
		if !b.Occupied(a.Netns, name) {
			b.Errorf("the other's %s was touched", name)
		}
		if left := b.observe(b.objects(a)); len(left) > 0 {
			b.Errorf("left over:\n%s", left)
		}
	}
}

func unknownNetwork(b *bench) {
	a := b.attachment()
	a.Interfaces = a.Interfaces[:1]
	a.Interfaces[0].Network = "blue"
	err := b.apply(a.ID, desired.Diff(nil, b.objects(a)))
	if err == nil || !strings.Contains(err.Error(), "blue") {
		b.Errorf("error %v, want the network named", err)
	}
}

func manyOwners(b *bench) {
	work := map[desired.Owner][]desired.Change{}
	want := desired.Set{}
	for range 20 {
		a := b.attachment()
		work[a.ID] = desired.Diff(nil, b.objects(a))
		maps.Copy(want, b.objects(a))
	}
	for owner, err := range b.applyAll(work) {
		if err != nil {
			b.Errorf("%s: %v", owner, err)
		}
	}
	b.expect(want)
	for owner := range work {
		work[owner] = nil
	}
	for _, o := range want {
		owner := o.Key().Owner
		work[owner] = append(work[owner], desired.Change{Old: o})
	}
	for owner, err := range b.applyAll(work) {
		if err != nil {
			b.Errorf("%s: %v", owner, err)
		}
	}
	b.reap()
	if left := b.observeEverything(nil); len(left) > 0 {
		b.Errorf("left over:\n%s", left)
	}
}

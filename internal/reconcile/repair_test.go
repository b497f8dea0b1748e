// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/reconcile"
)

func TestReportedDriftIsMendedAtOnce(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		_, list := objects(t, 1)
		for _, o := range list {
			b.driver.Lose(o.Key())
			synctest.Wait()
			b.expect(1)
		}
		b.driver.Lose(node.Default.Key())
		synctest.Wait()
		b.expect(1)
	})
}

func TestUnreportedDriftIsMendedInTime(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		_, list := objects(t, 1)
		altered := list[0].(desired.Veth)
		altered.MTU = 9000
		b.driver.Put(altered)
		_, stray := objects(t, 5)
		b.driver.Put(stray...)
		time.Sleep(repairInterval + time.Second)
		b.expect(1)
	})
}

// Nobody waits for a repair, so that only the log can tell why it fails; once, not
// at every attempt.
func TestFailingRepairIsTold(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		var broken atomic.Bool
		broken.Store(true)
		b.driver.Before(func(context.Context, desired.Change) error {
			if broken.Load() {
				return errBroken
			}
			return nil
		})
		_, list := objects(t, 1)
		b.driver.Lose(list[0].Key())
		time.Sleep(2 * repairInterval)
		for _, text := range []string{errBroken.Error(), "repairing change=\"+ veth"} {
			if n := b.logged(text); n != 1 {
				t.Errorf("%s: told %d times, want once", text, n)
			}
		}
		broken.Store(false)
		time.Sleep(repairInterval)
		b.expect(1)
		b.driver.Lose(list[0].Key())
		synctest.Wait()
		if n := b.logged("repairing change=\"+ veth"); n != 2 {
			t.Errorf("what is lost again is told %d times, want twice", n)
		}
	})
}

// An interface that cannot be mended leaves the others of its pod as they are.
func TestOneInterfaceFails(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		b.driver.Before(func(context.Context, desired.Change) error { return errBroken })
		owner, list := objects(t, 1)
		for _, lost := range list {
			b.driver.Put(list...)
			b.driver.Report(dataplane.Hit{All: true})
			synctest.Wait()
			b.driver.Lose(lost.Key())
			synctest.Wait()
			failing := desired.Change{Old: lost}.Interface()
			for _, name := range []string{"eth0", "tap1"} {
				state, err := b.r.InterfaceState(owner, name)
				if want := reconcile.Ready; name != failing && (state != want || err != nil) {
					t.Errorf("without %s %s is %s (%v), want %s", lost.Key(), name, state, err, want)
				}
				if want := reconcile.Failing; name == failing && (state != want || !errors.Is(err, errBroken)) {
					t.Errorf("without %s %s is %s (%v), want %s", lost.Key(), name, state, err, want)
				}
			}
		}
	})
}

// expectTap1 compares how the interfaces of pod 1 stand, of which eth0 is always well.
func (b *bench) expectTap1(when string, tap1 reconcile.State) {
	b.t.Helper()
	owner, _ := objects(b.t, 1)
	for name, want := range map[string]reconcile.State{"eth0": reconcile.Ready, "tap1": tap1} {
		if state, err := b.r.InterfaceState(owner, name); state != want || err != nil {
			b.t.Errorf("%s: %s is %s (%v), want %s", when, name, state, err, want)
		}
	}
}

// objectsOf is the plan of one interface of a pod.
func objectsOf(t *testing.T, n int, name string) []desired.Object {
	t.Helper()
	_, list := objects(t, n)
	return slices.DeleteFunc(list, func(o desired.Object) bool { return desired.Change{New: o}.Interface() != name })
}

// blocked has changes wait for the channel that it gives to be closed.
func (b *bench) blocked() chan struct{} {
	gate := make(chan struct{})
	b.driver.Before(func(context.Context, desired.Change) error { <-gate; return nil })
	return gate
}

// Until a look has found otherwise an interface is what it was, however often it is
// to be looked at; then it is missing until it is there again, and it alone.
func TestStatesWhileMending(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		gate := b.blocked()
		b.driver.Lose(objectsOf(t, 1, "tap1")[0].Key())
		synctest.Wait()
		b.expectTap1("tap1 is being mended", reconcile.Pending)
		b.driver.Report(dataplane.Hit{All: true})
		synctest.Wait()
		b.expectTap1("and is to be looked at again", reconcile.Pending)
		close(gate)
		synctest.Wait()
		b.expectTap1("all is mended", reconcile.Ready)
	})
}

// What carried traffic before a start is up as soon as it was read, whatever the
// node has to be made first.
func TestStatesAfterAStart(t *testing.T) {
	var gate chan struct{}
	run(t, func(b *bench) {
		gate = b.blocked()
		owner, list := objects(t, 1)
		b.driver.Put(objectsOf(t, 1, "eth0")...)
		b.r.Set(owner, list)
	}, func(b *bench) {
		b.expectTap1("the node is being made", reconcile.Pending)
		close(gate)
		synctest.Wait()
		b.expectTap1("all is made", reconcile.Ready)
	})
}

func TestComparingAllChangesNothingThatIsRight(t *testing.T) {
	run(t, nil, func(b *bench) {
		for n := range 40 {
			b.add(n)
		}
		before := b.driver.Applied()
		time.Sleep(10 * repairInterval)
		if n := b.driver.Applied() - before; n != 0 {
			t.Errorf("%d changes made, want none", n)
		}
	})
}

func TestDataplaneAwayAndBack(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		left := time.Now()
		b.driver.Report(dataplane.Hit{Away: errBroken})
		synctest.Wait()
		if since, err := b.r.Away(); !since.Equal(left) || !errors.Is(err, errBroken) {
			t.Errorf("away since %v (%v), want %v", since, err, left)
		}
		_, list := objects(t, 1)
		b.driver.Kill(list[0].(desired.Veth).Pod.Netns) // unreported
		b.driver.Put(list...)
		b.driver.Report(dataplane.Hit{All: true})
		synctest.Wait()
		if since, err := b.r.Away(); !since.IsZero() || err != nil {
			t.Errorf("still away since %v: %v", since, err)
		}
		b.expect(1)
	})
}

// TestAnyOrderEndsAsAsked adds, removes, loses and breaks at random, then lets
// things calm down: what is there is what was asked for last, and each owner
// that went was told of.
func TestAnyOrderEndsAsAsked(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 39), 1, 60).Draw(rt, "steps")
		faults := rapid.SliceOfN(rapid.Bool(), 16, 16).Draw(rt, "faults")
		run(t, nil, func(b *bench) {
			var calls atomic.Int64
			b.driver.Before(func(context.Context, desired.Change) error {
				if n := int(calls.Add(1)); n < 200 && faults[n%len(faults)] {
					return errBroken
				}
				return nil
			})
			want := map[int]bool{}
			for _, step := range steps {
				pod := step % 5
				owner, list := objects(t, pod)
				switch step / 10 {
				case 0, 1:
					b.r.Set(owner, list)
					want[pod] = true
				case 2:
					b.r.Set(owner, nil)
					delete(want, pod)
				case 3:
					b.driver.Lose(list[step%len(list)].Key())
				}
				if step%3 == 0 {
					synctest.Wait()
				}
			}
			time.Sleep(time.Hour)
			var pods []int
			for pod := range want {
				pods = append(pods, pod)
			}
			b.expect(pods...)
		})
	})
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
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
		if n := b.logged(errBroken.Error()); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
		broken.Store(false)
		time.Sleep(repairInterval)
		b.expect(1)
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

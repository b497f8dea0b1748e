// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/reconcile"
)

var errBroken = errors.New("the cable is cut")

func TestAddAndRemove(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.add(1)
		b.add(2)
		b.expect(1, 2)
		owner, _ := objects(t, 1)
		if err := b.r.Apply(b.t.Context(), owner, nil); err != nil {
			t.Fatal(err)
		}
		b.expect(2)
		if _, cut := b.driver.State(); cut != 2 {
			t.Errorf("%d ports cut off, want 2", cut)
		}
		if len(b.goneOwners()) != 0 {
			t.Error("told that the owner is gone before the reap")
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff([]desired.Owner{owner}, b.goneOwners()); diff != "" {
			t.Errorf("gone (-want +got):\n%s", diff)
		}
		if _, cut := b.driver.State(); cut != 0 {
			t.Errorf("%d ports left after the reap", cut)
		}
	})
}

// The addresses of one that cannot be cleaned up wait; those of others do not.
func TestOneThatStaysKeepsNobodyElse(t *testing.T) {
	run(t, nil, func(b *bench) {
		stuck, list := objects(t, 1)
		goes, _ := objects(t, 2)
		b.add(1)
		b.add(2)
		ns := list[0].(desired.Veth).Pod.Netns
		b.driver.Jam(ns, errBroken)
		for _, owner := range []desired.Owner{stuck, goes} {
			if err := b.r.Apply(b.t.Context(), owner, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff([]desired.Owner{goes}, b.goneOwners()); diff != "" {
			t.Errorf("gone (-want +got):\n%s", diff)
		}
		if n := b.logged("sandbox " + stuck.String() + ": " + errBroken.Error()); n != 1 {
			t.Errorf("told %d times why it stays, want once", n)
		}
		b.driver.Jam(ns, nil)
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff([]desired.Owner{goes, stuck}, b.goneOwners()); diff != "" {
			t.Errorf("gone at last (-want +got):\n%s", diff)
		}
	})
}

func TestRemoveWhatIsNotThere(t *testing.T) {
	run(t, nil, func(b *bench) {
		owner, _ := objects(t, 1)
		if err := b.r.Apply(b.t.Context(), owner, nil); err != nil {
			t.Error(err)
		}
		b.expect()
	})
}

func TestFailureIsToldAndRetried(t *testing.T) {
	run(t, nil, func(b *bench) {
		failures := 3
		b.driver.Before(func(_ context.Context, c desired.Change) error {
			if c.Key().Kind == desired.KindTap && failures > 0 {
				failures--
				return errBroken
			}
			return nil
		})
		owner, list := objects(t, 1)
		if err := b.r.Apply(b.t.Context(), owner, list); !errors.Is(err, errBroken) {
			t.Fatalf("error %v, want %v", err, errBroken)
		}
		if state, err := b.r.State(owner); state != reconcile.Failing || !errors.Is(err, errBroken) {
			t.Errorf("state %v, %v", state, err)
		}
		time.Sleep(time.Second)
		b.expect(1)
		if state, err := b.r.State(owner); state != reconcile.Ready || err != nil {
			t.Errorf("state %v, %v after the retries", state, err)
		}
	})
}

func TestFailedAddIsTakenBackWhole(t *testing.T) {
	run(t, nil, func(b *bench) {
		b.driver.Before(func(_ context.Context, c desired.Change) error {
			if c.New != nil && c.Key().Kind == desired.KindRoute {
				return errBroken
			}
			return nil
		})
		owner, list := objects(t, 1)
		if err := b.r.Apply(b.t.Context(), owner, list); !errors.Is(err, errBroken) {
			t.Fatalf("error %v, want %v", err, errBroken)
		}
		if err := b.r.Apply(b.t.Context(), owner, nil); err != nil {
			t.Fatal(err)
		}
		b.expect()
		time.Sleep(time.Hour)
		b.expect()
	})
}

func TestRestartChangesNothing(t *testing.T) {
	run(t, func(b *bench) {
		b.driver.Put(node.Objects()...)
		for n := range 3 {
			owner, list := objects(t, n)
			b.driver.Put(list...)
			b.r.Set(owner, list)
		}
	}, func(b *bench) {
		b.expect(0, 1, 2)
		if n := b.driver.Applied(); n != 0 {
			t.Errorf("%d changes made, want none", n)
		}
	})
}

func TestStartRemovesStraysAndCompletesTheRest(t *testing.T) {
	run(t, func(b *bench) {
		_, stray := objects(t, 7)
		b.driver.Put(stray...)
		owner, list := objects(t, 1)
		b.driver.Put(list[:2]...)
		b.r.Set(owner, list)
		left, leftObjects := objects(t, 2)
		b.driver.Put(leftObjects...)
		b.r.Forget(left, leftObjects)
	}, func(b *bench) {
		b.expect(1)
		time.Sleep(time.Second)
		if n := len(b.goneOwners()); n != 2 {
			t.Errorf("%d owners gone, want the stray and the one on its way out", n)
		}
	})
}

func TestSlowOwnerHoldsNobodyUp(t *testing.T) {
	run(t, nil, func(b *bench) {
		slow, list := objects(t, 1)
		release := make(chan struct{})
		b.driver.Before(func(_ context.Context, c desired.Change) error {
			if c.Key().Owner == slow {
				<-release
			}
			return nil
		})
		var wait sync.WaitGroup
		wait.Go(func() {
			if err := b.r.Apply(b.t.Context(), slow, list); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		b.add(2)
		b.add(3)
		if d := time.Since(start); d != 0 {
			t.Errorf("the others waited %v", d)
		}
		close(release)
		wait.Wait()
		b.expect(1, 2, 3)
	})
}

// Owners that come while the driver is busy are taken to it together.
func TestTogetherOnceTheDriverIsFree(t *testing.T) {
	run(t, nil, func(b *bench) {
		const atOnce, waiting = 4, 5
		release := make(chan struct{})
		b.driver.Before(func(context.Context, desired.Change) error { <-release; return nil })
		set := func(n int) {
			owner, list := objects(t, n)
			b.r.Set(owner, list)
		}
		for n := range atOnce {
			set(n)
			synctest.Wait()
		}
		for n := range waiting {
			set(atOnce + n)
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		if diff := cmp.Diff([]int{1, 1, 1, 1, 1, waiting}, b.driver.Batches()); diff != "" {
			t.Errorf("owners of each Apply, the node's first (-want +got):\n%s", diff)
		}
		b.expect(0, 1, 2, 3, 4, 5, 6, 7, 8)
	})
}

func TestGivingUpWaiting(t *testing.T) {
	run(t, nil, func(b *bench) {
		release := make(chan struct{})
		b.driver.Before(func(context.Context, desired.Change) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
		defer cancel()
		owner, list := objects(t, 1)
		if err := b.r.Apply(ctx, owner, list); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
		close(release)
	})
}

func TestStopAnswersThoseWhoWait(t *testing.T) {
	run(t, nil, func(b *bench) {
		busy := make(chan struct{})
		b.driver.Before(func(context.Context, desired.Change) error { <-busy; return nil })
		owner, list := objects(t, 1)
		b.late.Go(func() {
			if err := b.r.Apply(context.Background(), owner, list); err != nil {
				t.Errorf("the one that was out: %v", err)
			}
		})
		synctest.Wait()
		b.late.Go(func() {
			if err := b.r.Apply(context.Background(), owner, nil); !errors.Is(err, reconcile.ErrStopped) {
				t.Errorf("the one that came late: %v, want ErrStopped", err)
			}
		})
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(busy) })
	})
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/plan"
)

// A service is pending until the dataplane has it as it is listed, and no other is.
func TestPendingUntilAccepted(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		accept := make(chan struct{})
		b.driver.BeforeServices(func(context.Context) error {
			<-accept
			return nil
		})
		for n := 1; n <= 3; n++ {
			b.PutService(service(n))
			b.PutSlice(slice(n, n))
		}
		b.expectPending("web-1", "web-2", "web-3")
		b.Synced()
		accept <- struct{}{} // that it reads what there is
		b.expectPending("web-1", "web-2", "web-3")
		accept <- struct{}{}
		b.expectPending()

		b.PutSlice(slice(1, 5))
		b.expectPending("web-1")
		b.PutRedirect("a", toTap(2)) // while it is at work
		b.expectPending("web-1", "web-2")
		accept <- struct{}{}
		b.expectPending("web-2")
		accept <- struct{}{}
		b.expectPending()

		b.driver.BeforeServices(func(context.Context) error { return errBroken })
		b.PutSlice(slice(3, 6))
		b.expectPending("web-3")
		b.driver.BeforeServices(nil)
		time.Sleep(time.Second)
		b.expectPending()
	})
}

// A service that is left to others is so once the dataplane has dropped it; one that it
// never had waits for nothing.
func TestPendingUntilDropped(t *testing.T) {
	run(t, plan.Services{}, func(b *bench) {
		for n := 1; n <= 3; n++ {
			b.PutService(service(n))
			b.PutSlice(slice(n, n))
		}
		b.PutRedirect("a", toTap(1))
		b.expectPending("web-1", "web-2", "web-3") // an earlier agent's may be there
		former := desired.Service{Key: key(3), Frontends: []desired.Frontend{{Kind: desired.FrontendNode, Port: 30000}}}
		if err := b.driver.ApplyServices(t.Context(), []desired.Service{former}, nil); err != nil {
			t.Fatal(err)
		}
		accept := make(chan struct{})
		b.driver.BeforeServices(func(context.Context) error {
			<-accept
			return nil
		})
		b.Synced()
		accept <- struct{}{} // that it reads what there is
		b.expectPending("web-1", "web-3")
		accept <- struct{}{}
		b.expectPending()

		b.PutSlice(slice(2, 4))
		b.DeleteRedirect("a", pod(1))
		b.expectPending("web-1")
		b.PutSlice(slice(2, 5)) // while it is at work
		b.expectPending("web-1")
		accept <- struct{}{}
		b.expectPending()

		b.PutRedirect("a", toTap(1))
		b.expectPending("web-1")
		b.DeleteRedirect("a", pod(1)) // while it is at work
		b.expectPending("web-1")
		accept <- struct{}{}
		b.expectPending("web-1")
		accept <- struct{}{}
		b.expectPending()
	})
}

func (b *bench) expectPending(names ...string) {
	b.t.Helper()
	synctest.Wait()
	var got []string
	for _, s := range b.List() {
		if s.Pending {
			got = append(got, s.Ref.Name)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		b.t.Errorf("pending (-want +got):\n%s", diff)
	}
}

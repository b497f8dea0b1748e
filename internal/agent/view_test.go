// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dataplanefake "github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/reconcile"
)

// Whoever asks an agent that has just started is told once it knows, and whoever
// gives up waits no more.
func TestInterfacesAreToldOnceTheyAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := dataplanefake.New()
		r := reconcile.New(driver, reconcile.Options{Log: slog.New(slog.DiscardHandler), RepairInterval: time.Minute})
		a := &agent{reconciler: r, inventory: inventory.New(), plane: &plane{driver: driver}}
		var answers atomic.Int32
		ask := func(ctx context.Context) {
			a.Interfaces(ctx)
			answers.Add(1)
		}
		brief, giveUp := context.WithCancel(t.Context())
		go ask(brief)
		go ask(t.Context())
		expect := func(when string, want int32) {
			synctest.Wait()
			if got := answers.Load(); got != want {
				t.Errorf("%s: %d answers, want %d", when, got, want)
			}
		}
		expect("before the first look", 0)
		giveUp()
		expect("one has given up", 1)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		expect("after the first look", 2)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

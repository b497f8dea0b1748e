// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	dataplanefake "github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
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

// A sandbox that was taken up by its pod's name alone is up, and it is said what it
// lacks.
func TestInterfacesOfANameOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := dataplanefake.New()
		r := reconcile.New(driver, reconcile.Options{Log: slog.New(slog.DiscardHandler), RepairInterval: time.Minute})
		node := plan.Node{Default: desired.Network{Name: model.DefaultNetwork}}
		a := &agent{
			reconciler: r, inventory: inventory.New(), plane: &plane{driver: driver}, attacher: attach.New(attach.Config{Node: node}),
		}
		r.Set(desired.Owner{}, node.Objects())
		for uid, isNameOnly := range map[string]bool{"lost": true, "known": false} {
			att := attachment(model.PodRef{Namespace: "shop", Name: uid, UID: uid}, "10.1.1.3")
			att.NameOnly, att.Interfaces[0].Type, att.Interfaces[1].Type = isNameOnly, podif.Veth, podif.Veth
			objects, err := node.Attachment(att)
			if err != nil {
				t.Fatal(err)
			}
			a.inventory.PutAttachment(att)
			r.Set(att.ID, objects)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		list := a.Interfaces(ctx)
		if len(list) != 4 {
			t.Errorf("interfaces %+v", list)
		}
		for _, i := range list {
			isTold := strings.Contains(i.Reason, "it is not known whether the pod of its name is its own")
			if i.State != inspect.StateUp || isTold != (i.Pod == "lost") || !isTold && i.Reason != "" {
				t.Errorf("interface %s of pod %s is %s: %q", i.Name, i.Pod, i.State, i.Reason)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

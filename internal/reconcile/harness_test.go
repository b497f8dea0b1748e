// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/reconcile"
)

const repairInterval = 30 * time.Second

var node = plan.Node{
	Default: desired.Network{
		Name:     model.DefaultNetwork,
		Gateways: []netip.Addr{netip.MustParseAddr("10.1.1.1")},
		Pods:     []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")},
	},
}

// bench is a reconciler that runs over a fake dataplane, in a bubble of fake
// time.
type bench struct {
	t      *testing.T
	driver *fake.Driver
	r      *reconcile.Reconciler

	late sync.WaitGroup // goroutines that end only once the reconciler stopped

	mu   sync.Mutex
	gone []desired.Owner
	logs strings.Builder // guarded by mu too
}

// Write makes the bench the reconciler's log.
func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logs.Write(p)
}

func (b *bench) logged(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.logs.String(), text)
}

// run gives the test a running reconciler and stops it at the end. before may
// prepare driver and reconciler ahead of Run.
func run(t *testing.T, before func(*bench), test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, driver: fake.New()}
		b.r = reconcile.New(b.driver, reconcile.Options{
			Log: slog.New(slog.NewTextHandler(b, nil)), RepairInterval: repairInterval, Gone: b.wentAway,
		})
		b.r.Set(desired.Owner{}, node.Objects())
		if before != nil {
			before(b)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.r.Run(ctx) }()
		synctest.Wait()
		test(b)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		b.late.Wait()
	})
}

func (b *bench) wentAway(owner desired.Owner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = append(b.gone, owner)
}

func (b *bench) goneOwners() []desired.Owner {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gone
}

// objects is the plan of the n-th pod: a veth and a tap in the default network.
func objects(t *testing.T, n int) (desired.Owner, []desired.Object) {
	t.Helper()
	addr := func(i int) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 1, byte(i)})} }
	a := model.Attachment{
		ID:    model.AttachmentID{ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)},
		MTU:   1450,
		Netns: model.Netns{Path: fmt.Sprintf("/run/netns/%d", n), Inode: uint64(n)},
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: addr(2*n + 2)},
			{Name: "tap1", Type: podif.Tap, Queues: 1, Network: model.DefaultNetwork, Addresses: addr(2*n + 3)},
		},
	}
	list, err := node.Attachment(a)
	if err != nil {
		t.Fatal(err)
	}
	return a.ID, list
}

// expect compares what the dataplane has with the node's objects and those of
// the pods.
func (b *bench) expect(pods ...int) {
	b.t.Helper()
	want := desired.NewSet(node.Objects()...)
	for _, n := range pods {
		_, list := objects(b.t, n)
		want.Add(list...)
	}
	have, _ := b.driver.State()
	if diff := cmp.Diff(want.String(), have.String()); diff != "" {
		b.t.Errorf("dataplane (-want +got):\n%s", diff)
	}
}

func (b *bench) add(n int) {
	b.t.Helper()
	owner, list := objects(b.t, n)
	if err := b.r.Apply(b.t.Context(), owner, list); err != nil {
		b.t.Fatalf("add pod %d: %v", n, err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/busy"
	"github.com/polynic/polynic/test/etcd"
)

func clientPrefix() clientv3.OpOption { return clientv3.WithPrefix() }

// etcd is away while a pod comes, one goes, and one is altered before: it
// converges without a restart.
func TestEtcdWasAway(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 8)
	a.mustPublish(t, claims[:6]...)
	a.Restored()
	s.Stop()
	a.Withdraw(claims[0].Ref())
	a.Set(claims[6])
	a.mustBe(t, claims[6], publish.Failing)
	if since, err := a.Away(); since.IsZero() || !errors.Is(err, store.ErrAway) {
		t.Errorf("away since %v: %v", since, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := a.Publish(short, claims[7]); !errors.Is(err, store.ErrAway) || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), canary) {
		t.Errorf("Publish says %v", err)
	}
	if err := a.Gone(short, claims[0].Ref()); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrAway) {
		t.Errorf("Gone says %v", err)
	}
	s.Start(t)
	converges(t, client, claims[1:]...)
	eventually(t, func() bool { _, err := a.Away(); return err == nil }, a.text)
	if n := len(a.told); n > 0 {
		t.Errorf("%d problems were told of pods", n)
	}
}

// An etcd that is only starting is not warned of, and one that does not come is; one
// that was there and goes is at once.
func TestEtcdOnlyStarts(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	s.Stop()
	began := time.Now()
	a := run(t, "n1", client, nil)
	a.Restored()
	eventually(t, func() bool { _, err := a.Away(); return err != nil }, a.text)
	s.Start(t)
	eventually(t, func() bool { _, err := a.Away(); return err == nil }, a.text)
	if took := time.Since(began); took < 5*time.Second && (strings.Contains(a.text(), "level=WARN") || strings.Contains(a.text(), "answers again")) {
		t.Errorf("after %v the log has\n%s", took, a.text())
	}
	warned := func() bool {
		return strings.Contains(a.text(), `level=WARN msg="what pods' agents must know does not reach etcd"`)
	}
	s.Stop()
	a.Restored() // looks
	eventually(t, warned, a.text)
	late := run(t, "n2", client, nil)
	late.Restored()
	eventually(t, func() bool { return strings.Contains(late.text(), "level=WARN") }, late.text)
}

// An etcd that starts while somebody waits is soon enough for him, and one that
// does not costs him 8 seconds the first time.
func TestPublishWhileAway(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 3)
	s.Stop()
	done := make(chan error, 1)
	go func() { done <- a.Publish(t.Context(), claims[0]) }()
	a.mustBe(t, claims[0], publish.Failing)
	s.Start(t)
	if err := <-done; err != nil {
		t.Errorf("etcd came in time, and Publish says %v", err)
	}
	s.Stop()
	for _, test := range []struct {
		claim store.Claim
		limit time.Duration
	}{{claims[1], 9 * time.Second}, {claims[2], 5 * time.Second}} {
		began := time.Now()
		err := a.Publish(t.Context(), test.claim)
		if took := time.Since(began); took > busy.Stretch(test.limit) || !errors.Is(err, store.ErrAway) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("after %v: %v", took, err)
		}
	}
}

// etcd comes back with nothing, or with what it had long ago.
func TestWiped(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 5)
	a.mustPublish(t, claims...)
	a.Restored()
	for range 2 {
		s.Stop()
		s.Wipe(t)
		s.Start(t)
		converges(t, client, claims...)
	}
	// Repairs go on, though the revisions began anew.
	if _, err := client.Put(t.Context(), claims[0].Items[0].Key, "altered"); err != nil {
		t.Fatal(err)
	}
	converges(t, client, claims...)
}

// What is altered while the watch is cut off, and forgotten before it is back, is
// found all the same.
func TestCompaction(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	far := etcd.Relay(t, s)
	a := run(t, "n1", far.Dial(t), nil)
	claims := many("n1", 5)
	a.mustPublish(t, claims...)
	far.Cut()
	for _, c := range claims {
		if _, err := client.Delete(t.Context(), c.Items[0].Key); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		if _, err := client.Put(t.Context(), "/other", "x"); err != nil {
			t.Fatal(err)
		}
	}
	_, revision := etcd.Everything(t, client)
	if _, err := client.Delete(t.Context(), "/other"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	far.Mend()
	converges(t, client, claims...)
	if !strings.Contains(a.text(), "compacted") {
		t.Error("no watch was behind, and nothing was tried")
	}
}

// The leader goes, and another member leads.
func TestNewLeader(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	members := etcd.StartCluster(t, 3)
	a := run(t, "n1", etcd.Dial(t, members...), nil)
	claims := many("n1", 6)
	a.mustPublish(t, claims[:3]...)
	var leader *etcd.Server
	var others []*etcd.Server
	for _, m := range members {
		if m.Leads() {
			leader = m
		} else {
			others = append(others, m)
		}
	}
	a.Withdraw(claims[0].Ref())
	leader.Stop()
	for _, c := range claims[3:] {
		a.Set(c)
	}
	client := etcd.Dial(t, others...)
	converges(t, client, claims[1:]...)
	if _, err := client.Delete(t.Context(), "/vnf-agent/", clientPrefix()); err != nil {
		t.Fatal(err)
	}
	converges(t, client, claims[1:]...)
}

// Sandboxes that come and go while etcd is away do not fill the memory, and of
// those that were there before nothing is left once it is back.
func TestManyGoWhileAway(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 3)
	a.mustPublish(t, claims...)
	a.Restored()
	s.Stop()
	comers := many("n1-new", 3000)
	for _, c := range comers {
		a.Set(c)
		a.Withdraw(c.Ref())
	}
	a.Withdraw(claims[0].Ref())
	known := 0
	for _, c := range comers {
		if state, _ := a.State(c.Ref()); state != publish.Absent {
			known++
		}
	}
	if known < 100 || known > 1100 {
		t.Errorf("%d of %d that went are kept", known, len(comers))
	}
	s.Start(t)
	converges(t, client, claims[1:]...)
}

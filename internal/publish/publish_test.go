// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

func TestPublishAndWithdraw(t *testing.T) {
	_, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 40)
	var all sync.WaitGroup
	for _, c := range claims {
		all.Go(func() { a.mustPublish(t, c) })
	}
	all.Wait()
	if diff := difference(t, client, claims); diff != "" {
		t.Fatalf("once Publish returned (-want +got):\n%s", diff)
	}
	a.mustBe(t, claims[0], publish.Published)
	a.mustBeGone(t, claims[20:]...)
	if diff := difference(t, client, claims[:20]); diff != "" {
		t.Errorf("after half of them went (-want +got):\n%s", diff)
	}
	a.Withdraw(store.PodRef(pod("unknown", "n1").Attachment))
	if err := a.Gone(t.Context(), store.PodRef(pod("unknown", "n1").Attachment)); err != nil {
		t.Error(err)
	}
}

// Two pods with one label: the second is refused, with both names, and gets it
// once the first is gone.
func TestOneLabel(t *testing.T) {
	_, client := world(t)
	one, other := run(t, "n1", client, alive), run(t, "n2", client, alive)
	first, second, third := claim(pod("a", "n1"), "vnf1", "x=1"), claim(pod("b", "n1"), "vnf1", "x=2"), claim(pod("c", "n2"), "vnf1", "x=3")
	one.mustPublish(t, first)
	for _, err := range []error{one.Publish(t.Context(), second), other.Publish(t.Context(), third)} {
		if !errors.Is(err, store.ErrTaken) || !strings.Contains(err.Error(), "default/a") || !strings.Contains(err.Error(), "n1") {
			t.Fatalf("got %v", err)
		}
	}
	one.mustBe(t, second, publish.Failing)
	one.mustBeGone(t, second)
	if !has(t, client, first) {
		t.Error("the first one's keys were touched")
	}
	one.mustBeGone(t, first)
	converges(t, client, third)
	if got := other.heard(t); got != "c: <nil>" {
		t.Errorf("told of %s", got)
	}
	if n := len(one.problems); n != 0 {
		t.Errorf("what Publish returned was told again: %v", one.problems)
	}
}

// A pod's next sandbox has the label, however late the earlier one's DEL is.
func TestNextSandbox(t *testing.T) {
	_, client := world(t)
	a := run(t, "n1", client, nil)
	first, second := claim(pod("a", "n1"), "vnf1", "x=1", "y=1"), claim(pod("a", "n1"), "vnf1", "x=2")
	second.Owner.Attachment.ContainerID = "second"
	a.mustPublish(t, first, second)
	a.mustBeGone(t, first)
	if diff := difference(t, client, []store.Claim{second}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An owner's claim changes, also to another label.
func TestClaimChanges(t *testing.T) {
	_, client := world(t)
	a := run(t, "n1", client, nil)
	last := claim(pod("a", "n1"), "vnf2", "y=3")
	a.mustPublish(t, claim(pod("a", "n1"), "vnf1", "x=1", "y=1"), claim(pod("a", "n1"), "vnf1", "y=2"))
	a.mustBeRepaired(t, client, claim(pod("a", "n1"), "vnf1", "y=2")) // so it is watched
	a.mustPublish(t, last)
	if diff := difference(t, client, []store.Claim{last}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a.mustBeRepaired(t, client, last)
}

// The keys of pods that went while the agent was away go when it is back, those of
// other nodes and of pods that stayed do not; and nobody is asked about its own.
func TestAgentWasAway(t *testing.T) {
	_, client := world(t)
	before := run(t, "n1", client, nil)
	claims := many("n1", 6)
	before.mustPublish(t, claims...)
	elsewhere := many("n10", 2)
	run(t, "n10", client, nil).mustPublish(t, elsewhere...)
	before.stop()
	if err := before.Publish(t.Context(), claims[0]); !errors.Is(err, publish.ErrStopped) {
		t.Errorf("a stopped one says %v", err)
	}

	after := run(t, "n1", client, nobodyKnows)
	heir := claim(pod("heir", "n1"), claims[5].Label, "x=1")
	if err := after.Publish(t.Context(), heir); !errors.Is(err, store.ErrUnsure) {
		t.Errorf("before it is known who lives: %v", err)
	}
	for _, c := range claims[:3] {
		after.Set(c)
	}
	after.Restored()
	converges(t, client, append(append(claims[:3:3], heir), elsewhere...)...)
}

// What others alter or delete is repaired, and what is not claimed is theirs.
func TestRepair(t *testing.T) {
	_, client := world(t)
	a := run(t, "n1", client, nil)
	c := claim(pod("a", "n1"), "vnf1", "x=1", "y=2")
	a.mustPublish(t, c)
	for range 3 {
		a.mustBeRepaired(t, client, c)
	}
	if _, err := client.Delete(t.Context(), "/vnf-agent/vnf1/config/", clientPrefix()); err != nil {
		t.Fatal(err)
	}
	converges(t, client, c)
	if _, err := client.Delete(t.Context(), "/polynic/", clientPrefix()); err != nil {
		t.Fatal(err)
	}
	converges(t, client, c)
	if _, err := client.Put(t.Context(), "/vnf-agent/vnf1/config/z", "3"); err != nil {
		t.Fatal(err)
	}
	a.mustBeGone(t, c)
	all, _ := etcd.Everything(t, client)
	if len(all) != 1 || all["/vnf-agent/vnf1/config/z"] != "3" {
		t.Errorf("after the pod is left %v", all)
	}
}

// A restored claim whose label another pod got meanwhile is a problem, told once.
func TestProblem(t *testing.T) {
	_, client := world(t)
	first := claim(pod("a", "n1"), "vnf1", "x=1")
	other := run(t, "n1", client, alive)
	other.mustPublish(t, first)
	a := run(t, "n2", client, alive)
	second := claim(pod("b", "n2"), "vnf1", "x="+canary)
	a.Set(second)
	if got := a.heard(t); !strings.Contains(got, "default/a") || !strings.Contains(got, "default/b") {
		t.Errorf("told of %s", got)
	}
	other.mustBeGone(t, first)
	converges(t, client, second)
	if got := a.heard(t); got != "b: <nil>" {
		t.Errorf("told of %s", got)
	}
}

// A CustomConfiguration's keys go with it; a pod gets back what it left to it.
func TestCustom(t *testing.T) {
	_, client := world(t)
	agent, controller := run(t, "n1", client, nil), run(t, "", client, nil)
	mine := claim(store.Owner{Kind: store.Custom, Namespace: "default", Name: "c"}, "vnf1", "x=mine", "acl=1")
	controller.mustPublish(t, mine)
	c := claim(pod("a", "n1"), "vnf1", "x=1", "y=1")
	agent.mustPublish(t, c)
	if all, _ := etcd.Everything(t, client); all["/vnf-agent/vnf1/config/x"] != "mine" || all["/vnf-agent/vnf1/config/y"] != "1" {
		t.Errorf("together: %v", all)
	}
	controller.stop()
	next := run(t, "", client, nil)
	next.Restored() // it went meanwhile
	converges(t, client, c)
}

// Whoever waits is told when it is over.
func TestStop(t *testing.T) {
	t.Parallel() // stopping a server takes it seconds
	s, client := world(t)
	a := run(t, "n1", client, nil)
	c := many("n1", 1)[0]
	a.mustPublish(t, c)
	s.Stop()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if err := a.Publish(context.Background(), claim(pod("b", "n1"), "vnf9", "x=1")); !errors.Is(err, publish.ErrStopped) {
			t.Errorf("Publish says %v", err)
		}
	})
	a.Withdraw(c.Ref())
	waiting.Go(func() {
		if err := a.Gone(context.Background(), c.Ref()); !errors.Is(err, publish.ErrStopped) {
			t.Errorf("Gone says %v", err)
		}
	})
	a.mustBe(t, claim(pod("b", "n1"), "vnf9"), publish.Failing)
	a.stop()
	waiting.Wait()
}

// A pod of this node that exists nowhere any more does not keep its label until all
// pods are known, which may never be: where a journal was lost, for example.
func TestDeadPodBeforeAllAreKnown(t *testing.T) {
	_, client := world(t)
	before := run(t, "n1", client, nil)
	before.mustPublish(t, claim(pod("a", "n1"), "vnf1", "x=1"))
	before.stop()
	heir := claim(pod("b", "n1"), "vnf1", "x=2")
	if err := run(t, "n1", client, alive).Publish(t.Context(), heir); !errors.Is(err, store.ErrUnsure) {
		t.Errorf("while the pod exists: %v", err)
	}
	nobody := func(context.Context, store.Owner) (bool, error) { return false, nil }
	run(t, "n1", client, nobody).mustPublish(t, heir)
	converges(t, client, heir)
}

// Of a pod that lives it is not known any more what it claims: what etcd has of it
// stays as it is, is nobody else's, and goes when the pod goes; or it is known again.
func TestKept(t *testing.T) {
	_, client := world(t)
	before := run(t, "n1", client, nil)
	claims := many("n1", 4)
	before.mustPublish(t, claims...)
	before.stop()
	after := run(t, "n1", client, alive)
	unknown := errors.New("its secret is not known")
	after.Keep(claims[0].Ref(), unknown)
	after.Keep(claims[1].Ref(), unknown)
	after.Set(claims[2])
	after.Restored()
	converges(t, client, claims[:3]...)
	if state, err := after.State(claims[0].Ref()); state != publish.Failing || !errors.Is(err, unknown) {
		t.Errorf("it is %s, %v", state, err)
	}
	heir := claim(pod("heir", "n1"), claims[0].Label, "x=1")
	if err := after.Publish(t.Context(), heir); !errors.Is(err, store.ErrUnsure) || !strings.Contains(err.Error(), "n1-0") {
		t.Errorf("another pod with its label is told %v", err)
	}
	after.mustBeGone(t, heir)
	again := claim(claims[1].Owner, claims[1].Label, "x=again")
	after.mustPublish(t, again)
	converges(t, client, claims[0], again, claims[2])
	after.Withdraw(claims[0].Ref())
	converges(t, client, again, claims[2])
	if state, err := after.State(claims[0].Ref()); state != publish.Absent || err != nil {
		t.Errorf("once it is gone it is %s, %v", state, err)
	}
}

// A record that somebody made unreadable keeps nothing else from being removed, and is
// told of, also by the next agent.
func TestBrokenRecord(t *testing.T) {
	_, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 3)
	a.mustPublish(t, claims...)
	const record = "/polynic/v1/published/vnfn10/pod"
	if _, err := client.Put(t.Context(), record, "[]"); err != nil {
		t.Fatal(err)
	}
	a.mustBeGone(t, claims[:2]...)
	if all, _ := etcd.Everything(t, client); len(all) != 4 || all[record] != "[]" {
		t.Errorf("left is %v", all)
	}
	a.stop()
	next := run(t, "n1", client, nil)
	next.Restored()
	isTold := func(a *agent) bool {
		log := a.text()
		return strings.Contains(log, "level=WARN") && strings.Contains(log, record)
	}
	eventually(t, func() bool {
		all, _ := etcd.Everything(t, client)
		return len(all) == 1 && isTold(next)
	}, next.text)
	if !isTold(a) {
		t.Errorf("the record is not told of:\n%s", a.text())
	}
}

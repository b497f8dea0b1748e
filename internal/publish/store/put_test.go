// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

// A pod with 8 memifs appears, and goes, at one revision of etcd each.
func TestAPodIsOneTransaction(t *testing.T) {
	w := newWorld(t)
	before := w.revision(t)
	c := memifs(t, pod("a", "n1"), "vnf1", 8)
	written := w.put(t, c, nil)
	if got := w.revision(t); got != before+1 || written.Revision != got {
		t.Errorf("%d revisions for %d items, want 1 (it says %d of %d)", got-before, len(c.Items), written.Revision, got)
	}
	if diff := cmp.Diff(values(c), w.config(t, "vnf1")); diff != "" {
		t.Errorf("what the agent reads (-want +got):\n%s", diff)
	}
	if again := w.put(t, c, nil); again.Changed || w.revision(t) != before+1 {
		t.Error("the same claim again was written again")
	}
	w.drop(t, "vnf1", c.Owner)
	if all, revision := etcd.Everything(t, w.client); len(all) != 0 || revision != before+2 {
		t.Errorf("after %d revisions more, want 1, is left: %v", revision-before-1, slices.Sorted(maps.Keys(all)))
	}
}

// The record says whose the keys are, and holds no secret.
func TestRecordHasNoSecret(t *testing.T) {
	w := newWorld(t)
	c := memifs(t, pod("a", "n1"), "vnf1", 1)
	w.put(t, c, nil)
	all, _ := etcd.Everything(t, w.client)
	record := all["/polynic/v1/published/vnf1/pod"]
	for _, want := range []string{`"node":"n1"`, `"name":"a"`, `"uid":"uid-a"`, c.Items[0].Key} {
		if !strings.Contains(record, want) {
			t.Errorf("the record lacks %s:\n%s", want, record)
		}
	}
	if strings.Contains(record, canary) {
		t.Error("the record has the secret")
	}
}

// What an earlier system left is adopted where it is the same to the byte, and
// replaced where not.
func TestWhatNobodyRecorded(t *testing.T) {
	w := newWorld(t)
	same := below("vnf1", "same")[0]
	w.write(t, same, "1")
	w.write(t, below("vnf1", "other")[0], "old")
	w.write(t, below("vnf1", "foreign")[0], "stays")
	c := claim(pod("a", "n1"), "vnf1", "same=1", "other=2", "new=3")
	written := w.put(t, c, nil)
	if diff := cmp.Diff([][]string{written.Adopted, written.Replaced}, [][]string{below("vnf1", "same"), below("vnf1", "other")}); diff != "" {
		t.Errorf("adopted and replaced (-got +want):\n%s", diff)
	}
	response, err := w.client.Get(t.Context(), same)
	if err != nil || response.Kvs[0].Version != 1 {
		t.Errorf("the same bytes were written again (%v)", err)
	}
	w.drop(t, "vnf1", c.Owner)
	if diff := cmp.Diff(map[string]string{below("vnf1", "foreign")[0]: "stays"}, w.config(t, "vnf1")); diff != "" {
		t.Errorf("after the pod (-want +got):\n%s", diff)
	}
}

// A pod that is gone leaves nothing to the next one with its label, and is too
// late to take anything from it.
func TestDeadPodIsReplaced(t *testing.T) {
	w := newWorld(t)
	old := claim(pod("a", "n1"), "vnf1", "memif0=old secret", "memif1=old secret")
	w.put(t, old, nil)
	next := claim(pod("b", "n2"), "vnf1", "memif0=new secret")
	before := w.revision(t)
	written := w.put(t, next, gone)
	if diff := cmp.Diff([]store.Owner{old.Owner}, written.Evicted); diff != "" || len(written.Replaced) > 0 {
		t.Errorf("evicted (-want +got):\n%s\nreplaced: %v", diff, written.Replaced)
	}
	w.drop(t, "vnf1", old.Owner)
	if diff := cmp.Diff(values(next), w.config(t, "vnf1")); diff != "" || w.revision(t) != before+1 {
		t.Errorf("after %d revisions (-want +got):\n%s", w.revision(t)-before, diff)
	}
}

// A pod has another sandbox: nobody is asked, and the earlier one's DEL is late.
func TestNextSandboxOfAPod(t *testing.T) {
	w := newWorld(t)
	first := claim(pod("a", "n1"), "vnf1", "memif0=1", "memif1=1")
	w.put(t, first, nil)
	second := claim(first.Owner, "vnf1", "memif0=2")
	second.Owner.Attachment.ContainerID = "second"
	w.put(t, second, alive)
	w.drop(t, "vnf1", first.Owner)
	if diff := cmp.Diff(values(second), w.config(t, "vnf1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLivePodIsNotTouched(t *testing.T) {
	w := newWorld(t)
	first := claim(pod("a", "n1"), "vnf1", "memif0=1")
	w.put(t, first, nil)
	before := w.revision(t)
	_, err := w.store.Put(t.Context(), claim(pod("b", "n2"), "vnf1", "memif7=2"), alive)
	taken, is := errors.AsType[*store.TakenError](err)
	if !is || !errors.Is(err, store.ErrTaken) || taken.Owner != first.Owner {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"default/a", "n1", "default/b", "n2", `"vnf1"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	unknown := func(context.Context, store.Owner) (bool, error) { return false, errors.New("the API server is away") }
	_, err = w.store.Put(t.Context(), claim(pod("b", "n2"), "vnf1", "memif0=2"), unknown)
	if !errors.Is(err, store.ErrUnsure) || !strings.Contains(err.Error(), "the API server is away") {
		t.Errorf("where it is not known: %v", err)
	}
	if got := w.revision(t); got != before {
		t.Errorf("%d revisions were made", got-before)
	}
}

func TestLabelThatBeginsAnother(t *testing.T) {
	w := newWorld(t)
	short, long := memifs(t, pod("a", "n1"), "vnf1", 2), memifs(t, pod("b", "n1"), "vnf10", 2)
	w.put(t, long, alive)
	w.put(t, short, alive)
	w.drop(t, "vnf1", short.Owner)
	if diff := cmp.Diff(values(long), w.config(t, "vnf10")); diff != "" || len(w.config(t, "vnf1")) > 0 {
		t.Errorf("of vnf10 (-want +got):\n%s\nof vnf1: %d", diff, len(w.config(t, "vnf1")))
	}
	w.put(t, short, alive)
	w.drop(t, "vnf10", long.Owner)
	if diff := cmp.Diff(values(short), w.config(t, "vnf1")); diff != "" || len(w.config(t, "vnf10")) > 0 {
		t.Errorf("of vnf1 (-want +got):\n%s\nof vnf10: %d", diff, len(w.config(t, "vnf10")))
	}
}

// A pod leaves to a CustomConfiguration what that has, and gets it back; not the
// other way round.
func TestCustomConfigurationGoesFirst(t *testing.T) {
	w := newWorld(t)
	mine := claim(custom("c"), "vnf1", "memif0=mine", "acl=1")
	w.put(t, mine, nil)
	c := claim(pod("a", "n1"), "vnf1", "memif0=1", "memif1=1")
	written := w.put(t, c, nil)
	if diff := cmp.Diff([]store.Left{{Key: below("vnf1", "memif0")[0], Owner: mine.Owner}}, written.Left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if drift, err := w.store.Check(t.Context(), c); err != nil || !drift.None() {
		t.Errorf("the pod's is not as it should be: %+v, %v", drift, err)
	}
	want := values(c)
	maps.Copy(want, values(mine))
	if diff := cmp.Diff(want, w.config(t, "vnf1")); diff != "" {
		t.Errorf("together (-want +got):\n%s", diff)
	}
	for _, other := range []store.Claim{claim(custom("d"), "vnf1", "memif1=d"), claim(custom("d"), "vnf1", "acl=d")} {
		if _, err := w.store.Put(t.Context(), other, alive); !errors.Is(err, store.ErrTaken) || !strings.Contains(err.Error(), other.Items[0].Key) {
			t.Errorf("another one claims %s: %v", other.Items[0].Key, err)
		}
	}
	w.drop(t, "vnf1", mine.Owner)
	if _, err := w.store.Mend(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values(c), w.config(t, "vnf1")); diff != "" {
		t.Errorf("the pod alone (-want +got):\n%s", diff)
	}
}

// A claim may be larger than etcd takes at once, and shrink again.
func TestLargeClaim(t *testing.T) {
	w := newWorld(t)
	var items, fewer []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf("acl%d=%s", i, strings.Repeat("x", 3000)))
	}
	for i := range 500 {
		fewer = append(fewer, fmt.Sprintf("acl%d=new", 2*i))
	}
	for _, some := range [][]string{items, fewer, items[:3]} {
		c := claim(custom("c"), "vnf1", some...)
		w.put(t, c, nil)
		if diff := cmp.Diff(values(c), w.config(t, "vnf1")); diff != "" {
			t.Fatalf("of %d items (-want +got):\n%s", len(some), diff)
		}
	}
	w.put(t, claim(custom("c"), "vnf1", items...), nil)
	w.drop(t, "vnf1", custom("c"))
	if all, _ := etcd.Everything(t, w.client); len(all) != 0 {
		t.Errorf("%d keys are left", len(all))
	}
}

func TestWhatIsNoClaim(t *testing.T) {
	w := newWorld(t)
	large := claim(custom("c"), "vnf1", "small=1", "big="+strings.Repeat(canary, 60_000))
	many := claim(custom("c"), "vnf1")
	for i := range 3000 {
		many.Items = append(many.Items, claim(custom("c"), "vnf1", fmt.Sprintf("%s%d=1", strings.Repeat("k", 100), i)).Items...)
	}
	outside := claim(custom("c"), "vnf1")
	outside.Items = claim(custom("c"), "vnf10", "a="+canary).Items
	for name, test := range map[string]struct {
		claim store.Claim
		want  error
		names string
	}{
		"a value that is too large": {large, store.ErrTooLarge, "config/big: its value of 1200000 bytes"},
		"too many keys":             {many, store.ErrTooLarge, "3000 keys"},
		"a key of another label":    {outside, store.ErrInvalid, "/vnf-agent/vnf10/config/a"},
		"a key that is there twice": {claim(custom("c"), "vnf1", "a="+canary, "a="+canary), store.ErrInvalid, "twice"},
		"no key below the label":    {claim(custom("c"), "vnf1", "="+canary), store.ErrInvalid, "not below"},
		"a label with a slash":      {claim(custom("c"), "vnf/1", "a=1"), store.ErrInvalid, "vnf/1"},
		"no label":                  {claim(custom("c"), "", "a=1"), store.ErrInvalid, "empty"},
		"an owner with a slash":     {claim(custom("c/d"), "vnf1", "a=1"), store.ErrInvalid, "c/d"},
	} {
		_, err := w.store.Put(t.Context(), test.claim, nil)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.names) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %.300v", name, err)
		}
		if _, again := w.store.Mend(t.Context(), test.claim, nil); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: Mend says %.300v", name, again)
		}
	}
	if got := w.revision(t); got != 1 {
		t.Errorf("%d revisions were made", got-1)
	}
}

// Of pods that claim a label at once one gets it, and all of it.
func TestConcurrentPods(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	won := make(chan store.Claim, 16)
	for i := range cap(won) {
		c := memifs(t, pod(fmt.Sprint("p", i), fmt.Sprint("n", i%3)), "vnf1", 1+i%4)
		all.Go(func() {
			_, err := w.store.Put(t.Context(), c, alive)
			switch {
			case err == nil:
				won <- c
			case !errors.Is(err, store.ErrTaken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(won)
	winner := <-won
	for c := range won {
		t.Errorf("both %s and %s got the label", winner.Owner, c.Owner)
	}
	if diff := cmp.Diff(values(winner), w.config(t, "vnf1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Owners that do not contend for keys do not keep each other from writing.
func TestConcurrentOwnersOfOneLabel(t *testing.T) {
	w := newWorld(t)
	want := map[string]string{}
	var all sync.WaitGroup
	for i := range 8 {
		c := claim(custom(fmt.Sprint("c", i)), "vnf1", fmt.Sprintf("acl%d=1", i))
		maps.Copy(want, values(c))
		all.Go(func() { w.put(t, c, alive) })
	}
	all.Wait()
	if diff := cmp.Diff(want, w.config(t, "vnf1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOwned(t *testing.T) {
	w := newWorld(t)
	for i := range 1001 {
		w.put(t, claim(pod(fmt.Sprint("p", i), fmt.Sprint("n", i%2)), fmt.Sprint("vnf", i), "memif0=1"), nil)
	}
	w.put(t, claim(custom("c"), "vnf7", "acl=1"), nil)
	for _, test := range []struct {
		kind store.Kind
		node string
		want int
	}{{store.Pod, "n0", 501}, {store.Pod, "n1", 500}, {store.Pod, "n", 0}, {store.Custom, "", 1}} {
		got, revision, err := w.store.Owned(t.Context(), test.kind, test.node)
		if err != nil || len(got) != test.want || revision != w.revision(t) {
			t.Errorf("%s of %q: %d at %d, %v; want %d", test.kind, test.node, len(got), revision, err, test.want)
		}
		for _, h := range got {
			if h.Owner.Node != test.node || len(h.Keys) != 1 || !strings.HasPrefix(h.Keys[0], store.ConfigPrefix(h.Label)) {
				t.Fatalf("of %q: %+v", test.node, h)
			}
		}
	}
}

// What two records list, which nobody but a hand can bring about, goes with neither
// of them alone.
func TestKeyInTwoRecords(t *testing.T) {
	w := newWorld(t)
	c := claim(pod("a", "n1"), "vnf1", "x=1", "y=1")
	w.put(t, c, nil)
	all, _ := etcd.Everything(t, w.client)
	w.write(t, "/polynic/v1/published/vnf1/custom/default/c", strings.Replace(all["/polynic/v1/published/vnf1/pod"], `"name":"a"`, `"name":"c"`, 1))
	w.put(t, claim(c.Owner, "vnf1", "z=1"), nil)
	if got := w.config(t, "vnf1"); len(got) != 3 {
		t.Errorf("after the pod's claim changed: %v", slices.Sorted(maps.Keys(got)))
	}
	w.drop(t, "vnf1", c.Owner)
	if got := w.config(t, "vnf1"); len(got) != 2 {
		t.Errorf("after the pod went: %v", slices.Sorted(maps.Keys(got)))
	}
}

// between is a client's KV that has something done before its second transaction.
type between struct {
	clientv3.KV
	transactions int
	do           func()
}

func (b *between) Txn(ctx context.Context) clientv3.Txn {
	if b.transactions++; b.transactions == 2 {
		b.do()
	}
	return b.KV.Txn(ctx)
}

// The earlier sandbox of a pod goes after the next one looked, and before it
// writes: keys with values that both have must not go with it.
func TestEarlierSandboxGoesMeanwhile(t *testing.T) {
	w := newWorld(t)
	first := claim(pod("a", "n1"), "vnf1", "x=1", "y=2")
	second := claim(pod("a", "n1"), "vnf1", "x=1", "y=2")
	second.Owner.Attachment.ContainerID = "second"
	w.put(t, first, alive)
	late := etcd.Dial(t, w.server)
	late.KV = &between{KV: late.KV, do: func() { w.drop(t, "vnf1", first.Owner) }}
	if _, err := store.New(late).Put(t.Context(), second, alive); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values(second), w.config(t, "vnf1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What another alters between the look and the write is in what is heard from the
// revision on, though it was not compared.
func TestRevisionMissesNothing(t *testing.T) {
	w := newWorld(t)
	w.put(t, claim(custom("one"), "vnf1", "a=1"), nil)
	w.put(t, claim(pod("dead", "node1"), "vnf1", "b=1"), alive)
	var altered int64
	written := w.put(t, claim(custom("one"), "vnf1", "a=1", "b=2"), func(ctx context.Context, _ store.Owner) (bool, error) {
		response, err := w.client.Put(ctx, store.ConfigPrefix("vnf1")+"a", "another's")
		if err == nil {
			altered = response.Header.Revision
		}
		return false, err
	})
	if !written.Changed || altered == 0 || written.Revision >= altered {
		t.Errorf("written at revision %d, after another wrote at %d: a watch from there misses it", written.Revision, altered)
	}
}

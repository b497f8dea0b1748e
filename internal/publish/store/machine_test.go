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
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

// Whatever owners claim and give up, whoever dies, whatever others write and
// whichever answer is lost: etcd has what a map of owners would have.
func TestMachine(t *testing.T) {
	server := etcd.Start(t)
	var lose atomic.Int32 // the answer to so many requests from now
	client, err := store.Dial(clientv3.Config{
		Endpoints: []string{server.Endpoint()},
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			err := invoke(ctx, method, request, reply, conn, options...)
			if lose.Add(-1) == 0 {
				return status.Error(codes.Unavailable, "the answer is lost")
			}
			return err
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	plain := etcd.Dial(t, server)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := plain.Delete(context.Background(), "", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		m := &machine{
			store: store.New(client), plain: plain, lose: &lose,
			want: map[string]string{}, holders: map[string]map[store.Ref]*holder{"vnf1": {}, "vnf10": {}}, dead: map[string]bool{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.compare,
			"claim":   m.claim,
			"give up": m.giveUp,
			"die":     m.die,
			"meddle":  m.meddle,
		})
	})
}

// holder is an owner in the model.
type holder struct {
	owner store.Owner
	keys  map[string]bool
}

type machine struct {
	store   *store.Store
	plain   *clientv3.Client
	lose    *atomic.Int32
	want    map[string]string // everything outside the records
	holders map[string]map[store.Ref]*holder
	dead    map[string]bool // by UID
}

// podPlace is where a label's only pod is among its holders.
func podPlace() store.Ref { return store.Ref{} }

func drawOwner(t *rapid.T) store.Owner {
	if rapid.Bool().Draw(t, "custom") {
		return custom(rapid.SampledFrom([]string{"c", "d"}).Draw(t, "owner"))
	}
	o := pod(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner"), "n1")
	o.Attachment.ContainerID += rapid.SampledFrom([]string{"", "-again"}).Draw(t, "sandbox")
	return o
}

func drawClaim(t *rapid.T) store.Claim {
	c := store.Claim{Owner: drawOwner(t), Label: rapid.SampledFrom([]string{"vnf1", "vnf10"}).Draw(t, "label")}
	for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 4, rapid.ID).Draw(t, "keys") {
		c.Items = append(c.Items, claim(c.Owner, c.Label, fmt.Sprint(k, "=", rapid.IntRange(0, 2).Draw(t, "value"))).Items...)
	}
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 { // more than etcd takes at once
		for i := range 130 {
			c.Items = append(c.Items, claim(c.Owner, c.Label, fmt.Sprint("of ", c.Owner.Name, i, "=1")).Items...)
		}
	}
	return c
}

func (m *machine) alive(_ context.Context, o store.Owner) (bool, error) { return !m.dead[o.UID], nil }

// do asks the store, after an answer may have been lost on the way.
func (m *machine) do(t *rapid.T, ask func() error) error {
	if n := rapid.IntRange(0, 5).Draw(t, "lost"); n > 0 {
		m.lose.Store(int32(n))
		err := ask()
		if unanswered := m.lose.Swap(0) <= 0; unanswered && !errors.Is(err, store.ErrAway) {
			t.Fatalf("the answer to a request was lost, and it says %v", err)
		}
	}
	return ask()
}

func (m *machine) claim(t *rapid.T) {
	c := drawClaim(t)
	place := c.Ref()
	if c.Owner.Kind == store.Pod {
		place = podPlace()
	}
	refused := m.expect(c, place)
	err := m.do(t, func() error {
		write := m.store.Put
		if rapid.Bool().Draw(t, "mend") {
			write = m.store.Mend
		}
		_, err := write(context.Background(), c, m.alive)
		return err
	})
	if refused != errors.Is(err, store.ErrTaken) || !refused && err != nil {
		t.Fatalf("%s claims: refused is %v, got %v", c.Owner, refused, err)
	}
}

// expect is what a claim does to the model.
func (m *machine) expect(c store.Claim, place store.Ref) (refused bool) {
	holders := m.holders[c.Label]
	items := values(c)
	var evicted []store.Ref
	for ref, h := range holders {
		shares := slices.ContainsFunc(c.Keys(), func(k string) bool { return h.keys[k] })
		switch {
		case ref == place && (c.Owner.Kind == store.Custom || h.owner.UID == c.Owner.UID):
		case ref == place, shares && c.Owner.Kind == store.Custom:
			if h.owner.Kind == store.Custom || !m.dead[h.owner.UID] {
				return true
			}
			evicted = append(evicted, ref)
		case shares: // a pod leaves them
			maps.DeleteFunc(items, func(k, _ string) bool { return h.keys[k] })
		}
	}
	for _, ref := range evicted {
		m.remove(c.Label, ref)
	}
	m.remove(c.Label, place)
	h := &holder{c.Owner, map[string]bool{}}
	for k, v := range items {
		h.keys[k], m.want[k] = true, v
	}
	holders[place] = h
	return false
}

func (m *machine) remove(label string, ref store.Ref) {
	h := m.holders[label][ref]
	delete(m.holders[label], ref)
	if h != nil {
		maps.DeleteFunc(m.want, func(k, _ string) bool { return h.keys[k] })
	}
}

func (m *machine) giveUp(t *rapid.T) {
	label, o := rapid.SampledFrom([]string{"vnf1", "vnf10"}).Draw(t, "label"), drawOwner(t)
	place := store.CustomRef(label, o.Namespace, o.Name)
	if o.Kind == store.Pod {
		place = podPlace()
	}
	if h := m.holders[label][place]; h != nil && h.owner == o {
		m.remove(label, place)
	}
	if err := m.do(t, func() error { return m.store.Drop(context.Background(), label, o) }); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) die(t *rapid.T) {
	o := pod(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner"), "n1")
	m.dead[o.UID] = !m.dead[o.UID] // and another of that name is born
}

// meddle is somebody who knows nothing of owners.
func (m *machine) meddle(t *rapid.T) {
	key := below(rapid.SampledFrom([]string{"vnf1", "vnf10"}).Draw(t, "label"), fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "key")))[0]
	var err error
	if value := fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "value")); rapid.Bool().Draw(t, "delete") {
		delete(m.want, key)
		_, err = m.plain.Delete(context.Background(), key)
	} else {
		m.want[key] = value
		_, err = m.plain.Put(context.Background(), key, value)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) compare(t *rapid.T) {
	response, err := m.plain.Get(context.Background(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, kv := range response.Kvs {
		if key := string(kv.Key); strings.HasPrefix(key, "/vnf-agent/") {
			got[key] = string(kv.Value)
		}
	}
	if diff := cmp.Diff(m.want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	pods, _, err := m.store.Owned(context.Background(), store.Pod, "n1")
	if err != nil {
		t.Fatal(err)
	}
	customs, _, err := m.store.Owned(context.Background(), store.Custom, "")
	if err != nil {
		t.Fatal(err)
	}
	want, has := map[string][]string{}, map[string][]string{}
	for label, holders := range m.holders {
		for _, h := range holders {
			want[fmt.Sprint(label, h.owner)] = slices.Sorted(maps.Keys(h.keys))
		}
	}
	for _, r := range slices.Concat(pods, customs) {
		has[fmt.Sprint(r.Label, r.Owner)] = r.Keys
	}
	if diff := cmp.Diff(want, has, equalEmpty()); diff != "" {
		t.Fatalf("records (-want +got):\n%s", diff)
	}
}

func equalEmpty() cmp.Option {
	return cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

const (
	trialSteps  = 80
	trialLabels = 4
	// trialPatience is longer than the longest pause between two attempts.
	trialPatience = 3 * patience
)

// Pods come and go with the same labels, on two nodes, and get other sandboxes; agents
// start anew and do not know what went meanwhile; etcd is cut off, ends, loses its
// data, has older data, forgets its past, and is altered by others. In the end it has
// for each label all of one pod that lives, if there is one, and nothing else.
func TestTrial(t *testing.T) {
	for _, seed := range []uint64{3, 7, 12, 21} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel() // stopping a server takes it seconds
			newTrial(t, seed).run()
		})
	}
}

type trial struct {
	*testing.T
	rand    *rand.Rand
	server  *etcd.Server
	client  *clientv3.Client
	links   []*etcd.Link
	agents  []*agent
	made    int    // sandboxes
	putBack func() // older data; nil where none were kept
	waiting sync.WaitGroup

	mu   sync.Mutex
	pods map[string]store.Claim // those that live, by UID
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	s, client := world(t)
	tr := &trial{T: t, rand: rand.New(rand.NewPCG(seed, 0)), server: s, client: client, pods: map[string]store.Claim{}}
	for n := range 2 {
		tr.links = append(tr.links, etcd.Relay(t, s))
		tr.agents = append(tr.agents, nil)
		tr.start(n)
	}
	return tr
}

func (tr *trial) run() {
	steps := []func(){
		tr.come, tr.come, tr.come, tr.come, tr.leave, tr.leave, tr.leave, tr.renew, tr.renew,
		tr.restart, tr.cut, tr.mend, tr.meddle, tr.meddle, tr.compact, tr.end,
	}
	for range trialSteps {
		steps[tr.rand.IntN(len(steps))]()
		<-time.After(time.Duration(tr.rand.IntN(60)) * time.Millisecond) // so that something is done meanwhile
	}
	for _, l := range tr.links {
		l.Mend()
	}
	eventuallyWithin(tr.T, trialPatience, func() bool { return tr.wrong() == "" }, func() string {
		return tr.wrong() + "\n" + tr.agents[0].text() + "\n" + tr.agents[1].text()
	})
	tr.waiting.Wait()
	for _, uid := range tr.uids() {
		tr.withdraw(tr.goes(uid))
	}
	eventuallyWithin(tr.T, trialPatience, func() bool { return tr.wrong() == "" }, tr.wrong)
}

func node(n int) string { return fmt.Sprint("n", n) }

func (tr *trial) isAlive(_ context.Context, o store.Owner) (bool, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	_, lives := tr.pods[o.UID]
	return lives, nil
}

// start starts a node's agent, which knows of the pods that live.
func (tr *trial) start(n int) {
	tr.Helper()
	a := runAs(tr.T, publish.Config{
		Store: store.New(tr.links[n].Dial(tr.T)), Kind: store.Pod, Node: node(n), IsAlive: tr.isAlive,
		LookInterval: 200 * time.Millisecond, CompareInterval: time.Second,
	})
	tr.agents[n] = a
	for _, uid := range tr.uids() {
		if c := tr.pods[uid]; c.Owner.Node == node(n) {
			a.Set(c)
		}
	}
	a.Restored()
}

// uids are those of the pods that live, in order.
func (tr *trial) uids() []string { return slices.Sorted(maps.Keys(tr.pods)) }

func (tr *trial) some() (uid string, ok bool) {
	all := tr.uids()
	if len(all) == 0 {
		return "", false
	}
	return all[tr.rand.IntN(len(all))], true
}

// sandbox is a claim of a pod's next sandbox, which says other things.
func (tr *trial) sandbox(o store.Owner, label string) store.Claim {
	tr.made++
	o.Attachment.ContainerID = fmt.Sprint("container-", tr.made)
	c := claim(o, label)
	for i := range 1 + tr.rand.IntN(4) {
		c.Items = append(c.Items, claim(o, label, fmt.Sprintf("memif%d={%s %d}", i, canary, tr.made)).Items...)
	}
	return c
}

func (tr *trial) lives(c store.Claim) {
	tr.mu.Lock()
	tr.pods[c.Owner.UID] = c
	tr.mu.Unlock()
	a := tr.agentOf(c)
	if tr.rand.IntN(2) == 0 {
		a.Set(c)
		return
	}
	tr.waiting.Go(func() { _ = a.Publish(context.Background(), c) })
}

func (tr *trial) agentOf(c store.Claim) *agent {
	return tr.agents[slices.IndexFunc([]int{0, 1}, func(n int) bool { return node(n) == c.Owner.Node })]
}

func (tr *trial) come() {
	o := pod(fmt.Sprint("pod-", tr.made), node(tr.rand.IntN(2)))
	tr.lives(tr.sandbox(o, fmt.Sprint("vnf", tr.rand.IntN(trialLabels))))
}

func (tr *trial) leave() {
	if uid, ok := tr.some(); ok {
		tr.withdraw(tr.goes(uid))
	}
}

func (tr *trial) withdraw(c store.Claim) { tr.agentOf(c).Withdraw(c.Ref()) }

// goes has a pod not live any more.
func (tr *trial) goes(uid string) store.Claim {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	c := tr.pods[uid]
	delete(tr.pods, uid)
	return c
}

// renew gives a pod another sandbox, and ends the one before late or early.
func (tr *trial) renew() {
	uid, ok := tr.some()
	if !ok {
		return
	}
	old := tr.pods[uid]
	isEarly := tr.rand.IntN(2) == 0
	if isEarly {
		tr.withdraw(old)
	}
	tr.lives(tr.sandbox(old.Owner, old.Label))
	if !isEarly {
		tr.withdraw(old)
	}
}

// restart starts an agent anew; meanwhile a pod goes.
func (tr *trial) restart() {
	n := tr.rand.IntN(2)
	tr.agents[n].stop()
	if uid, ok := tr.some(); ok && tr.pods[uid].Owner.Node == node(n) {
		tr.goes(uid)
	}
	tr.start(n)
}

func (tr *trial) cut()  { tr.links[tr.rand.IntN(2)].Cut() }
func (tr *trial) mend() { tr.links[tr.rand.IntN(2)].Mend() }

// end ends etcd, and starts it with what it had, with nothing, or with older data.
func (tr *trial) end() {
	tr.server.Stop()
	switch tr.rand.IntN(4) {
	case 0:
		tr.server.Wipe(tr.T)
	case 1:
		tr.putBack = tr.server.Save(tr.T)
	case 2:
		if tr.putBack != nil {
			tr.putBack()
		}
	}
	tr.server.Start(tr.T)
}

// meddle alters or removes a key that is there.
func (tr *trial) meddle() {
	ctx, cancel := context.WithTimeout(tr.Context(), time.Second)
	defer cancel()
	response, err := tr.client.Get(ctx, "/vnf-agent/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil || len(response.Kvs) == 0 {
		return
	}
	key := string(response.Kvs[tr.rand.IntN(len(response.Kvs))].Key)
	op := clientv3.OpDelete(key)
	if tr.rand.IntN(2) == 0 {
		op = clientv3.OpPut(key, "altered")
	}
	_, _ = tr.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), ">", 0)).Then(op).Commit()
}

func (tr *trial) compact() {
	ctx, cancel := context.WithTimeout(tr.Context(), time.Second)
	defer cancel()
	if response, err := tr.client.Get(ctx, "/none"); err == nil {
		_, _ = tr.client.Compact(ctx, response.Header.Revision)
	}
}

// wrong is how etcd differs from what the pods that live have, of each label one.
func (tr *trial) wrong() string {
	all, err := everything(tr.client)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for n := range trialLabels {
		label := fmt.Sprint("vnf", n)
		got := map[string]string{}
		for key, value := range all {
			if strings.HasPrefix(key, store.ConfigPrefix(label)) || strings.HasPrefix(key, "/polynic/v1/published/"+label+"/") {
				got[key] = value
				delete(all, key)
			}
		}
		text.WriteString(tr.wrongOf(label, got))
	}
	if len(all) > 0 {
		fmt.Fprintf(&text, "of no label there is %v\n", all)
	}
	return text.String()
}

func (tr *trial) wrongOf(label string, got map[string]string) string {
	diff, isWanted := "", false
	for _, uid := range tr.uids() {
		c := tr.pods[uid]
		if c.Label != label {
			continue
		}
		isWanted = true
		want := map[string]string{}
		for _, item := range c.Items {
			want[item.Key] = string(item.Value)
		}
		place := "/polynic/v1/published/" + label + "/pod"
		if !strings.Contains(got[place], `"`+c.Owner.Attachment.ContainerID+`"`) {
			continue
		}
		want[place] = got[place]
		if diff = cmp.Diff(want, got); diff == "" {
			return ""
		}
	}
	if !isWanted && len(got) == 0 {
		return ""
	}
	return fmt.Sprintf("%s, where a pod is wanted (%v), has %v\n%s", label, isWanted, got, diff)
}

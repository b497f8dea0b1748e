// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

// A member of a cluster that ends lets go of its peers' connections a while after;
// nothing of ours speaks HTTP/1.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// canary is the secret that must be nowhere but in values.
const canary = "c4n4rys3cr3tc4n4rys3"

// patience is how long anything may take that is to happen by itself.
const patience = 30 * time.Second

// agent is a publisher that runs, as that of a node.
type agent struct {
	*publish.Publisher
	stop func()

	mu       sync.Mutex
	log      bytes.Buffer
	problems []string
	told     chan struct{}
}

// Write makes the agent the place where its log goes.
func (a *agent) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.Write(line)
}

func (a *agent) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

func (a *agent) problem(o store.Owner, err error) {
	a.mu.Lock()
	a.problems = append(a.problems, fmt.Sprint(o.Name, ": ", err))
	a.mu.Unlock()
	select {
	case a.told <- struct{}{}:
	default: // nobody hears
	}
}

// heard waits for the next problem.
func (a *agent) heard(t *testing.T) string {
	t.Helper()
	select {
	case <-a.told:
	case <-time.After(patience):
		t.Fatalf("no problem is told; the log:\n%s", a.text())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.problems[len(a.problems)-1]
}

// run runs an agent of a node until the test ends, or stop is called.
func run(t *testing.T, node string, client *clientv3.Client, isAlive store.Alive) *agent {
	t.Helper()
	kind := store.Pod
	if node == "" {
		kind = store.Custom
	}
	return runAs(t, publish.Config{Store: store.New(client), Kind: kind, Node: node, IsAlive: isAlive, LookInterval: 200 * time.Millisecond})
}

// runAs is run with a configuration of the test's, but for who hears of things.
func runAs(t *testing.T, c publish.Config) *agent {
	t.Helper()
	a := &agent{told: make(chan struct{}, 64)}
	c.Log = slog.New(slog.NewTextHandler(a, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Problem = a.problem
	a.Publisher = publish.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(a.text(), canary) {
			t.Error("the log has the secret")
		}
	})
	t.Cleanup(a.stop)
	return a
}

func pod(name, node string) store.Owner {
	return store.Owner{
		Kind: store.Pod, Node: node, Namespace: "default", Name: name, UID: "uid-" + name,
		Attachment: model.AttachmentID{ContainerID: "container-" + name, IfName: "eth0"},
	}
}

func claim(o store.Owner, label string, items ...string) store.Claim {
	c := store.Claim{Owner: o, Label: label}
	for _, item := range items {
		k, v, _ := strings.Cut(item, "=")
		c.Items = append(c.Items, ligato.Item{Key: store.ConfigPrefix(label) + k, Value: []byte(v)})
	}
	return c
}

// has is that etcd has the claims in it, and no more.
func has(t *testing.T, client *clientv3.Client, claims ...store.Claim) bool {
	t.Helper()
	return difference(t, client, claims) == ""
}

func difference(t *testing.T, client *clientv3.Client, claims []store.Claim) string {
	t.Helper()
	want, records := map[string]string{}, map[string]string{}
	for _, c := range claims {
		for _, item := range c.Items {
			want[item.Key] = string(item.Value)
		}
		records["/polynic/v1/published/"+c.Label+"/pod"] = c.Owner.Attachment.ContainerID
	}
	got, recorded := map[string]string{}, map[string]string{}
	all, err := everything(client)
	if err != nil {
		return err.Error()
	}
	for k, v := range all {
		if strings.HasPrefix(k, "/vnf-agent/") {
			got[k] = v
			continue
		}
		_, id, _ := strings.Cut(v, `"containerID":"`)
		recorded[k], _, _ = strings.Cut(id, `"`)
	}
	return cmp.Diff(want, got) + cmp.Diff(records, recorded)
}

func everything(client *clientv3.Client) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	response, err := client.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, kv := range response.Kvs {
		all[string(kv.Key)] = string(kv.Value)
	}
	return all, nil
}

// converges waits until etcd has the claims, and no more.
func converges(t *testing.T, client *clientv3.Client, claims ...store.Claim) {
	t.Helper()
	eventually(t, func() bool { return has(t, client, claims...) }, func() string { return difference(t, client, claims) })
}

func eventually(t *testing.T, is func() bool, otherwise func() string) {
	t.Helper()
	eventuallyWithin(t, patience, is, otherwise)
}

func eventuallyWithin(t *testing.T, limit time.Duration, is func() bool, otherwise func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// mustBeRepaired is that what others alter of a claim, the only one, is repaired.
func (a *agent) mustBeRepaired(t *testing.T, client *clientv3.Client, c store.Claim) {
	t.Helper()
	if _, err := client.Put(t.Context(), c.Items[0].Key, "altered"); err != nil {
		t.Fatal(err)
	}
	converges(t, client, c)
}

func (a *agent) mustPublish(t *testing.T, claims ...store.Claim) {
	t.Helper()
	for _, c := range claims {
		if err := a.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *agent) mustBeGone(t *testing.T, claims ...store.Claim) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, c := range claims {
		a.Withdraw(c.Ref())
		if err := a.Gone(ctx, c.Ref()); err != nil {
			t.Fatal(err)
		}
		if state, err := a.State(c.Ref()); state != publish.Absent || err != nil {
			t.Errorf("%s is %s, %v", c.Owner, state, err)
		}
	}
}

func (a *agent) mustBe(t *testing.T, c store.Claim, want publish.State) {
	t.Helper()
	eventually(t, func() bool {
		state, err := a.State(c.Ref())
		return state == want && (err != nil) == (want == publish.Failing)
	}, func() string {
		state, err := a.State(c.Ref())
		return fmt.Sprintf("%s is %s (%v), want %s", c.Owner, state, err, want)
	})
}

// many are claims of a node's pods.
func many(node string, n int) []store.Claim {
	all := make([]store.Claim, n)
	for i := range all {
		all[i] = claim(pod(fmt.Sprint(node, "-", i), node), fmt.Sprint("vnf", node, i), "vpp/v2/interfaces/memif0={secret:"+canary+"}", "vpp/v2/arp/memif0=1")
	}
	return all
}

func world(t *testing.T) (*etcd.Server, *clientv3.Client) {
	t.Helper()
	s := etcd.Start(t)
	return s, etcd.Dial(t, s)
}

func alive(context.Context, store.Owner) (bool, error) { return true, nil }

func nobodyKnows(context.Context, store.Owner) (bool, error) {
	return false, errors.New("the API server is away")
}

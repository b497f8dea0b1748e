// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

// An etcd at its quota answers, and takes nothing more: that is told of the pods that
// it is about, once, and is not that etcd comes and goes. What goes then goes, and
// with room again everything is there.
func TestFull(t *testing.T) {
	_, client := world(t)
	a := run(t, "n1", client, nil)
	claims := many("n1", 4)
	a.mustPublish(t, claims[:2]...)
	a.Restored()
	alarm := func(action etcdserverpb.AlarmRequest_AlarmAction) {
		t.Helper()
		server := etcdserverpb.NewMaintenanceClient(client.ActiveConnection())
		if _, err := server.Alarm(t.Context(), &etcdserverpb.AlarmRequest{Action: action, Alarm: etcdserverpb.AlarmType_NOSPACE}); err != nil {
			t.Fatal(err)
		}
	}
	alarm(etcdserverpb.AlarmRequest_ACTIVATE)
	a.Set(claims[2])
	if said := a.heard(t); !strings.Contains(said, "no room") {
		t.Errorf("told of the pod: %s", said)
	}
	if err := a.Publish(t.Context(), claims[3]); !errors.Is(err, store.ErrFull) {
		t.Errorf("Publish says %v", err)
	}
	a.mustBeGone(t, claims[0])
	a.mustBe(t, claims[1], publish.Published)
	a.mustNotBeAwayFor(t, "space exceeded")
	alarm(etcdserverpb.AlarmRequest_DEACTIVATE)
	converges(t, client, claims[1:]...)
}

// mustNotBeAwayFor is that nothing with these words was taken for etcd being away, and
// that it is not.
func (a *agent) mustNotBeAwayFor(t *testing.T, words string) {
	t.Helper()
	for line := range strings.Lines(a.text()) {
		if strings.Contains(line, "does not reach etcd") && strings.Contains(line, words) {
			t.Errorf("taken for away: %s", line)
		}
	}
	eventually(t, func() bool { _, err := a.Away(); return err == nil }, a.text) // a busy machine may have been slow
}

// large puts values of 1 MiB under a prefix, n of them.
func large(t *testing.T, client *clientv3.Client, prefix string, n int) {
	t.Helper()
	value := strings.Repeat("x", 1<<20)
	for i := range n {
		if _, err := client.Put(t.Context(), prefix+strings.Repeat("i", i+1), value); err != nil {
			t.Fatal(err)
		}
	}
}

// What somebody heaps up under a label is not read: the pod with that label is told,
// every other goes on, and what is a record of nobody's keeps nothing from being
// removed.
func TestHeapsOfOthers(t *testing.T) {
	s, client := world(t)
	far := etcd.Relay(t, s)
	former := claim(pod("former", "n1"), "vnf-former", "vpp/v2/arp/a=1")
	if _, err := store.New(client).Put(t.Context(), former, alive); err != nil {
		t.Fatal(err)
	}
	large(t, client, "/polynic/v1/published/heap/", 9)
	large(t, client, store.ConfigPrefix("heap"), 9)
	claims := many("n1", 3)
	a := run(t, "n1", far.Dial(t), nil)
	a.mustPublish(t, claims...)
	a.Restored()
	err := a.Publish(t.Context(), claim(pod("buried", "n1"), "heap", "vpp/v2/arp/a=1"))
	if !errors.Is(err, store.ErrTooLarge) || !strings.Contains(err.Error(), store.ConfigPrefix("heap")) {
		t.Errorf("Publish says %v", err)
	}
	count := func(key string, want int64) func() bool {
		return func() bool {
			has, err := client.Get(t.Context(), key, clientv3.WithCountOnly())
			return err == nil && has.Count == want
		}
	}
	eventually(t, count("/polynic/v1/published/vnf-former/pod", 0), a.text)

	// Heaps that come while nobody watches are skipped as well.
	far.Cut()
	large(t, client, store.ConfigPrefix(claims[0].Label)+"other/", 5)
	large(t, client, store.ConfigPrefix(claims[0].Label)+"other/", 5)
	if _, err := client.Delete(t.Context(), claims[0].Items[0].Key); err != nil {
		t.Fatal(err)
	}
	far.Mend()
	eventually(t, count(claims[0].Items[0].Key, 1), a.text)
	a.mustNotBeAwayFor(t, "are read")
}

// Who may use a part of etcd alone has the labels that are in it; the others are told
// of what is missing, and that not all records are to be seen keeps nobody waiting.
func TestPartOfEtcd(t *testing.T) {
	s, root := world(t)
	claims := many("n1", 3)
	restrict(t, root, "/vnf-agent/"+claims[0].Label+"/", "/polynic/v1/published/"+claims[0].Label+"/")
	client, err := store.Dial(clientv3.Config{Endpoints: []string{s.Endpoint()}, Username: "part", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	a := run(t, "n1", client, nil)
	a.mustPublish(t, claims[0])
	a.Restored()
	if err := a.Publish(t.Context(), claims[1]); !errors.Is(err, store.ErrForbidden) {
		t.Errorf("Publish says %v", err)
	}
	a.Set(claims[2])
	if said := a.heard(t); !strings.Contains(said, "give its user the prefixes") {
		t.Errorf("told of the pod: %s", said)
	}
	eventually(t, func() bool { return strings.Contains(a.text(), "beside what is claimed") }, a.text)
	a.mustBeGone(t, claims[0])
	a.mustNotBeAwayFor(t, "permission denied")
}

// restrict makes a user "part" who may use prefixes alone, and lets no other in but
// root.
func restrict(t *testing.T, root *clientv3.Client, prefixes ...string) {
	t.Helper()
	ctx := t.Context()
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	for _, user := range []string{"root", "part"} {
		note(root.RoleAdd(ctx, user))
		note(root.UserAdd(ctx, user, "pw"))
		note(root.UserGrantRole(ctx, user, user))
	}
	for _, prefix := range prefixes {
		note(root.RoleGrantPermission(ctx, "part", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite)))
	}
	note(root.AuthEnable(ctx))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/busy"
	"github.com/polynic/polynic/test/etcd"
)

// longest is what a request may take, whatever is wrong.
const longest = 7 * time.Second

// What keeps etcd from being reached is said, soon.
func TestAway(t *testing.T) {
	stopped := etcd.Start(t)
	stopped.Stop()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, test := range map[string]struct {
		config clientv3.Config
		reason string
	}{
		"stopped":                 {clientv3.Config{Endpoints: []string{stopped.Endpoint()}}, "connection refused"},
		"stopped, with a user":    {clientv3.Config{Endpoints: []string{stopped.Endpoint()}, Username: "polynic", Password: canary}, "connection refused"},
		"silent":                  {clientv3.Config{Endpoints: []string{silent.Addr().String()}}, ""},
		"a certificate of nobody": {clientv3.Config{Endpoints: []string{etcd.StartTLS(t).Endpoint()}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "certificate signed by unknown authority"},
		"no TLS":                  {clientv3.Config{Endpoints: []string{strings.Replace(etcd.StartTLS(t).Endpoint(), "https", "http", 1)}}, "error reading server preface"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := store.Dial(test.config)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			c, s := claim(pod("a", "n1"), "vnf1", "memif0="+canary), store.New(client)
			_, put := s.Put(t.Context(), c, nil)
			_, mend := s.Mend(t.Context(), c, nil)
			began := time.Now()
			drop := s.Drop(t.Context(), "vnf1", c.Owner)
			if took := time.Since(began); took > busy.Stretch(longest) {
				t.Errorf("took %v", took)
			}
			for _, err := range []error{put, mend, drop} {
				if !errors.Is(err, store.ErrAway) || !strings.Contains(err.Error(), test.reason) || !strings.Contains(err.Error(), test.config.Endpoints[0]) || strings.Contains(err.Error(), canary) {
					t.Errorf("got %v, want it to name %s", err, test.reason)
				}
			}
			t.Log(put)
		})
	}
}

// etcd has users: one that is not let in, and one that may not do everything, hear
// so, and another one needs nothing else.
func TestUsers(t *testing.T) {
	w := newWorld(t)
	for _, prefix := range []string{"/vnf-agent/", "/polynic/"} {
		for role, range_ := range map[string]string{"all": prefix, "some": "/vnf-agent/"} {
			_, _ = w.client.RoleAdd(t.Context(), role)
			if _, err := w.client.RoleGrantPermission(t.Context(), role, range_, clientv3.GetPrefixRangeEnd(range_), clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for user, role := range map[string]string{"root": "root", "polynic": "all", "narrow": "some"} {
		_, _ = w.client.RoleAdd(t.Context(), role)
		if _, err := w.client.UserAdd(t.Context(), user, canary); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.UserGrantRole(t.Context(), user, role); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.client.AuthEnable(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		user, password string
		want           error
		reason         string
	}{
		{"polynic", canary, nil, ""},
		{"narrow", canary, store.ErrForbidden, "permission denied"},
		{"polynic", canary + "!", store.ErrAway, "authentication failed"},
		{"nobody", canary, store.ErrAway, "authentication failed"},
	} {
		client, err := store.Dial(clientv3.Config{Endpoints: []string{w.server.Endpoint()}, Username: test.user, Password: test.password})
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.New(client).Put(t.Context(), claim(pod("a", "n1"), "vnf1", "memif0=1"), nil)
		if test.want == nil {
			mustSee(t, store.New(client))
		}
		_ = client.Close()
		if !errors.Is(err, test.want) || err != nil && (!strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: got %v, want %v", test.user, err, test.want)
		}
		t.Log(err)
	}
}

// mustSee is that a watch of a user's shows what is written.
func mustSee(t *testing.T, s *store.Store) {
	t.Helper()
	c := claim(pod("b", "n1"), "vnf2", "memif0=1")
	written, err := s.Put(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := false
	err = s.Watch(ctx, "vnf2", written.Revision-1, func(change store.Change) {
		seen = change.Key == c.Items[0].Key
		cancel()
	})
	if err != nil || !seen {
		t.Errorf("watching: %v", err)
	}
}

// A caller who gives up gets his own reason.
func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.store.Put(ctx, claim(pod("a", "n1"), "vnf1", "memif0=1"), nil)
	if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrAway) {
		t.Errorf("got %v", err)
	}
}

// Data that is lost, or older, is noticed.
func TestUnchanged(t *testing.T) {
	w := newWorld(t)
	var marks []store.Mark
	for _, label := range []string{"vnf1", "vnf2"} {
		marks = append(marks, w.put(t, claim(pod(label, "n1"), label, "memif0=1"), nil).Mark)
	}
	again := w.put(t, claim(pod("vnf2", "n1"), "vnf2", "memif0=1"), nil).Mark
	for _, some := range [][]store.Mark{marks, {again}, nil} {
		if same, err := w.store.Unchanged(t.Context(), some); err != nil || !same {
			t.Errorf("of %d records: %v, %v", len(some), same, err)
		}
	}
	w.server.Stop()
	w.server.Start(t)
	w.store = store.New(etcd.Dial(t, w.server)) // the other client takes a moment
	if same, err := w.store.Unchanged(t.Context(), marks); err != nil || !same {
		t.Errorf("started again on its data: %v, %v", same, err)
	}
	w.server.Stop()
	w.server.Wipe(t)
	w.server.Start(t)
	w.store = store.New(etcd.Dial(t, w.server))
	if same, err := w.store.Unchanged(t.Context(), marks); err != nil || same {
		t.Errorf("wiped: %v, %v", same, err)
	}
}

// A watch tells of every change of the label, and says when it cannot.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	c := claim(pod("a", "n1"), "vnf1", "memif0=1")
	from := w.put(t, c, nil).Revision
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes, ended := make(chan store.Change, 8), make(chan error, 1)
	go func() { ended <- w.store.Watch(ctx, "vnf1", from, func(c store.Change) { changes <- c }) }()
	key := c.Items[0].Key
	w.write(t, "/vnf-agent/vnf10/config/memif0", "not this")
	put := w.write(t, key, "2")
	if diff := cmp.Diff(store.Change{Key: key, Value: []byte("2"), Revision: put}, <-changes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := w.client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if got := <-changes; got.Value != nil || got.Key != key {
		t.Errorf("of a deleted key: %+v", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("at its end: %v", err)
	}
	if _, err := w.client.Compact(t.Context(), w.revision(t)); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Watch(t.Context(), "vnf1", from, func(store.Change) {}); !errors.Is(err, store.ErrAway) || !strings.Contains(err.Error(), "compacted") {
		t.Errorf("from before what etcd remembers: %v", err)
	}
}

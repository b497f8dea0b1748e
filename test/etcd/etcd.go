// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package etcd runs real etcd servers in the process of a test: on loopback, with
// their data in the test's folder. They can be stopped, started again on the same
// data or on none, and be several.
package etcd

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/port"
)

// patience is how long a server may take until it serves.
const patience = 30 * time.Second

// Server is one member, or the only one.
type Server struct {
	config  *embed.Config
	running *embed.Etcd
}

// Start runs a server until the test ends. It does not sync its files: its data
// need not survive the machine.
func Start(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "http")
	s.Start(t)
	return s
}

// StartSynced is Start for a server that syncs its files, as one with something to
// lose does.
func StartSynced(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "http")
	s.config.UnsafeNoFsync = false
	s.Start(t)
	return s
}

// StartTLS runs a server whose certificate it signed itself.
func StartTLS(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "https")
	s.config.ClientAutoTLS = true
	s.Start(t)
	return s
}

// StartCluster runs several members of one etcd.
func StartCluster(t testing.TB, members int) []*Server {
	t.Helper()
	var all []*Server
	var peers []string
	for range members {
		s := newServer(t, "http")
		s.config.Name = s.config.ListenClientUrls[0].Port()
		peer := address(t, "http")
		s.config.ListenPeerUrls, s.config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		s.config.TickMs, s.config.ElectionMs = 50, 500
		peers = append(peers, s.config.Name+"="+peer.String())
		all = append(all, s)
	}
	started := make(chan func(), members)
	for _, s := range all {
		s.config.InitialCluster = strings.Join(peers, ",")
		go func() { // each waits for the others
			running, err := embed.StartEtcd(s.config)
			started <- func() { s.take(t, running, err) }
		}()
	}
	for range members {
		(<-started)()
	}
	return all
}

func newServer(t testing.TB, scheme string) *Server {
	t.Helper()
	c := embed.NewConfig()
	c.Dir = t.TempDir()
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.UnsafeNoFsync = true
	c.BcryptCost = 4 // users' passwords are the test's
	c.TickMs, c.ElectionMs = 10, 100
	client, peer := address(t, scheme), url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.Name + "=" + peer.String()
	s := &Server{config: c}
	t.Cleanup(s.Stop)
	return s
}

// address is one that nobody listens at, and nobody else does until the test ends.
func address(t testing.TB, scheme string) url.URL {
	t.Helper()
	return url.URL{Scheme: scheme, Host: port.Keep(t)}
}

// Start starts the server again, on the data that it has, and waits until it
// serves.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	running, err := embed.StartEtcd(s.config)
	s.take(t, running, err)
}

func (s *Server) take(t testing.TB, running *embed.Etcd, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s.running = running
	select {
	case <-running.Server.ReadyNotify():
	case err := <-running.Err():
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatalf("etcd does not serve after %v", patience)
	}
}

// Stop ends the server and keeps its data. One that does not run stays as it is.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	s.running.Close()
	<-s.running.Server.StopNotify()
	s.running = nil
}

// Wipe removes the data of a server that does not run.
func (s *Server) Wipe(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.config.Dir); err != nil {
		t.Fatal(err)
	}
}

// Save keeps the data of a server that does not run. What it returns puts that back,
// in place of the data of then; the server does not run then either.
func (s *Server) Save(t testing.TB) (putBack func()) {
	t.Helper()
	kept := t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(s.config.Dir)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		s.Wipe(t)
		if err := os.CopyFS(s.config.Dir, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	}
}

// Leads reports whether the server is its cluster's leader.
func (s *Server) Leads() bool { return s.running.Server.Leader() == s.running.Server.MemberID() }

// Endpoint is where clients find the server.
func (s *Server) Endpoint() string { return s.config.ListenClientUrls[0].String() }

// Dial makes a client as polynic does, for the time of the test.
func Dial(t testing.TB, servers ...*Server) *clientv3.Client {
	t.Helper()
	var config clientv3.Config
	for _, s := range servers {
		config.Endpoints = append(config.Endpoints, s.Endpoint())
	}
	client, err := store.Dial(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Everything is what etcd has, and its revision.
func Everything(t testing.TB, client *clientv3.Client) (map[string]string, int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response, err := client.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, kv := range response.Kvs {
		all[string(kv.Key)] = string(kv.Value)
	}
	return all, response.Header.Revision
}

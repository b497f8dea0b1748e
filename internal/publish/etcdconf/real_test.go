// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/polynic/polynic/internal/publish/etcdconf"
	"github.com/polynic/polynic/internal/publish/store"
)

// startReal runs a real etcd that wants TLS and a client certificate, and gives
// HOST:PORT.
func startReal(t *testing.T, a authority) string {
	t.Helper()
	cert, key := a.sign(t, "127.0.0.1")
	folder := write(t, t.TempDir(), map[string][]byte{"ca.crt": a.pem, "tls.crt": cert, "tls.key": key})
	c := embed.NewConfig()
	c.Dir, c.ZapLoggerBuilder, c.UnsafeNoFsync = t.TempDir(), embed.NewZapLoggerBuilder(zap.NewNop()), true
	c.TickMs, c.ElectionMs = 10, 100
	client, peer := url.URL{Scheme: "https", Host: "127.0.0.1:0"}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.Name + "=" + peer.String()
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = filepath.Join(folder, "ca.crt"), true
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd does not serve")
	}
	return server.Clients[0].Addr().String()
}

// A real etcd takes the client with its certificate, then with its password alone,
// and says what it has against another.
func TestRealEtcd(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	address := startReal(t, a)
	folder, stranger := a.secret(t, a), a.secret(t, other)
	s := etcdconf.Settings{
		Endpoints: []string{address}, CAFile: filepath.Join(folder, "ca.crt"),
		CertFile: filepath.Join(folder, "tls.crt"), KeyFile: filepath.Join(folder, "tls.key"),
	}
	c, err := etcdconf.New(s, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	client, err := store.Dial(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := ask(t, client); err != nil {
		t.Errorf("with its certificate: %v", err)
	}
	wrong := s
	wrong.CertFile, wrong.KeyFile = filepath.Join(stranger, "tls.crt"), filepath.Join(stranger, "tls.key")
	if err := get(t, wrong); err == nil || !strings.Contains(err.Error(), "does not take the client certificate in "+wrong.CertFile) {
		t.Errorf("with another authority's certificate: %v", err)
	}
	wrong.CertFile, wrong.KeyFile = "", ""
	if err := get(t, wrong); err == nil || !strings.Contains(err.Error(), "wants a client certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	login(t, client)
	if err := get(t, s); err == nil {
		t.Error("without a name: etcd answers")
	}
	s.Username, s.PasswordFile = "root", filepath.Join(write(t, t.TempDir(), map[string][]byte{"password": []byte("open sesame\n")}), "password")
	if err := get(t, s); err != nil {
		t.Errorf("with name and password: %v", err)
	}
}

// login has etcd ask who is there.
func login(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.UserAdd(ctx, "root", "open sesame"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UserGrantRole(ctx, "root", "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AuthEnable(ctx); err != nil {
		t.Fatal(err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/polynic/polynic/internal/publish/etcdconf"
	"github.com/polynic/polynic/internal/publish/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get asks etcd for a key, by the client that the publisher has, and gives in what
// way that fails.
func get(t *testing.T, s etcdconf.Settings) error {
	t.Helper()
	c, err := etcdconf.New(s, os.LookupEnv)
	if err != nil {
		return err
	}
	client, err := store.Dial(c.Config())
	if err != nil {
		return err
	}
	defer client.Close()
	err = ask(t, client)
	if problem := c.Problem(); problem != nil && err == nil {
		t.Errorf("etcd answers, and the connection says %v", problem)
	}
	return err
}

func ask(t *testing.T, client *clientv3.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := client.Get(ctx, "key")
	return err
}

func TestConnects(t *testing.T) {
	a := newAuthority(t)
	plain := serve(t, nil)
	secure := serve(t, a.server(t, "127.0.0.1", nil))
	mutual := serve(t, a.server(t, "127.0.0.1", &a))
	folder := a.secret(t, a)
	file := func(name string) string { return filepath.Join(folder, name) }
	conf := func(text, secret string) etcdconf.Settings {
		return etcdconf.Settings{ConfigFile: filepath.Join(write(t, t.TempDir(), map[string][]byte{"etcd.conf": []byte(text)}), "etcd.conf"), SecretDir: secret}
	}
	login := write(t, t.TempDir(), map[string][]byte{"username": []byte("polynic"), "password": []byte("open sesame\n"), "ca.crt": a.pem})
	t.Setenv("ETCD_HOST", "127.0.0.1")
	for name, s := range map[string]etcdconf.Settings{
		"plain":           {Endpoints: []string{"http://" + plain}},
		"TLS":             {Endpoints: []string{secure}, CAFile: file("ca.crt")},
		"mutual TLS":      {Endpoints: []string{"https://" + mutual}, CAFile: file("ca.crt"), CertFile: file("tls.crt"), KeyFile: file("tls.key")},
		"Secret":          {Endpoints: []string{mutual}, SecretDir: folder},
		"login":           {Endpoints: []string{"http://" + plain}, Username: "polynic", PasswordFile: filepath.Join(login, "password")},
		"login, Secret":   {Endpoints: []string{secure}, SecretDir: login},
		"conf and Secret": conf("endpoints: [\""+mutual+"\"]\n", folder),
		"documents' etcd.conf": conf("insecure-transport: true\ndial-timeout: 10000000000\nallow-delayed-start: true\n"+
			"endpoints:\n  - \""+plain+"\"\n", ""),
		"etcd.conf with TLS": conf("endpoints: [\""+mutual+"\"]\nca-file: "+file("ca.crt")+
			"\ncert-file: "+file("tls.crt")+"\nkey-file: "+file("tls.key")+"\n", ""),
		"etcd.conf that trusts all": conf("endpoints: [\"https://"+secure+"\"]\ninsecure-skip-tls-verify: true\n", ""),
		"etcd.conf with variables": conf("insecure-transport: true\nexpand-env-variables: true\n"+
			"endpoints: [\"${ETCD_HOST}:"+strings.TrimPrefix(plain, "127.0.0.1:")+"\"]\n", ""),
	} {
		t.Run(name, func(t *testing.T) {
			if err := get(t, s); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is wrong with an etcd is said, and what to do.
func TestSaysWhyItDoesNotConnect(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	plain := serve(t, nil)
	secure := serve(t, a.server(t, "127.0.0.1", nil))
	elsewhere := serve(t, a.server(t, "192.0.2.1", nil))
	mutual := serve(t, a.server(t, "127.0.0.1", &a))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	folder, stranger := a.secret(t, a), a.secret(t, other)
	ca, foreign := filepath.Join(folder, "ca.crt"), filepath.Join(other.secret(t, other), "ca.crt")
	cert, key := filepath.Join(stranger, "tls.crt"), filepath.Join(stranger, "tls.key")
	wrong := filepath.Join(write(t, t.TempDir(), map[string][]byte{"password": []byte("canary")}), "password")
	for _, c := range []struct {
		name     string
		settings etcdconf.Settings
		want     string
	}{
		{"away", etcdconf.Settings{Endpoints: []string{"http://" + closed.Addr().String()}}, closed.Addr().String() + ": connect: connection refused"},
		{"TLS to plain", etcdconf.Settings{Endpoints: []string{plain}, CAFile: ca}, "write http://"},
		{"plain to TLS", etcdconf.Settings{Endpoints: []string{"http://" + secure}}, "write https://"},
		{"unknown authority", etcdconf.Settings{Endpoints: []string{secure}, CAFile: foreign}, "its authority is not in " + foreign},
		{"no authority", etcdconf.Settings{Endpoints: []string{secure}}, "name the file with its authority's certificate"},
		{"another's certificate", etcdconf.Settings{Endpoints: []string{elsewhere}, CAFile: ca}, "use an endpoint that its certificate is for"},
		{"no client certificate", etcdconf.Settings{Endpoints: []string{mutual}, CAFile: ca}, "wants a client certificate"},
		{"wrong client certificate", etcdconf.Settings{Endpoints: []string{mutual}, CAFile: ca, CertFile: cert, KeyFile: key}, "does not take the client certificate in " + cert},
		{"wrong password", etcdconf.Settings{Endpoints: []string{"http://" + plain}, Username: "polynic", PasswordFile: wrong}, "authentication failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := get(t, c.settings)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A renewed Secret counts from the next connection on: a client that failed with the
// old one connects then.
func TestReadsFilesAgain(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	folder := a.secret(t, other)
	c, err := etcdconf.New(etcdconf.Settings{Endpoints: []string{serve(t, a.server(t, "127.0.0.1", &a))}, SecretDir: folder}, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	config := c.Config()
	config.Logger = zap.NewNop()
	client, err := clientv3.New(config) // which waits for a connection, unlike the publisher's
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := client.Get(ctx, "key"); err == nil {
		t.Fatal("etcd takes a client certificate of another authority")
	}
	if problem := c.Problem(); problem == nil || !strings.Contains(problem.Error(), "does not take the client certificate") {
		t.Errorf("problem: %v", problem)
	}
	cert, key := a.sign(t, "127.0.0.9")
	write(t, folder, map[string][]byte{"tls.crt": cert, "tls.key": key})
	if err := ask(t, client); err != nil || c.Problem() != nil {
		t.Errorf("with the new certificate: %v, problem %v", err, c.Problem())
	}
}

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

	"github.com/polynic/polynic/internal/publish/etcdconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get asks etcd for a key, by a client with these settings, and gives in what way
// that fails: what connecting says of it, or the client.
func get(t *testing.T, s etcdconf.Settings) error {
	t.Helper()
	c, err := etcdconf.New(s, os.LookupEnv)
	if err != nil {
		return err
	}
	client, err := clientv3.New(c.Config())
	if err != nil {
		return err
	}
	defer client.Close()
	return ask(t, c, client)
}

func ask(t *testing.T, c *etcdconf.Connection, client *clientv3.Client) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := client.Get(ctx, "key")
		failed <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-tick.C:
			if err := c.Problem(); err != nil {
				cancel()
				<-failed
				return err
			}
		}
	}
}

func TestConnects(t *testing.T) {
	a := newAuthority(t)
	plain := serve(t, nil)
	secure := serve(t, a.server(t, "127.0.0.1", nil))
	mutual := serve(t, a.server(t, "127.0.0.1", &a))
	folder := a.secret(t, a)
	file := func(name string) string { return filepath.Join(folder, name) }
	conf := func(text string) string {
		return filepath.Join(write(t, t.TempDir(), map[string][]byte{"etcd.conf": []byte(text)}), "etcd.conf")
	}
	login := write(t, t.TempDir(), map[string][]byte{"username": []byte("polynic"), "password": []byte("open sesame\n"), "ca.crt": a.pem})
	t.Setenv("ETCD_HOST", "127.0.0.1")
	for name, s := range map[string]etcdconf.Settings{
		"plain":         {Endpoints: []string{"http://" + plain}},
		"TLS":           {Endpoints: []string{secure}, CAFile: file("ca.crt")},
		"mutual TLS":    {Endpoints: []string{"https://" + mutual}, CAFile: file("ca.crt"), CertFile: file("tls.crt"), KeyFile: file("tls.key")},
		"Secret":        {Endpoints: []string{mutual}, SecretDir: folder},
		"login":         {Endpoints: []string{"http://" + plain}, Username: "polynic", PasswordFile: filepath.Join(login, "password")},
		"login, Secret": {Endpoints: []string{secure}, SecretDir: login},
		"documents' etcd.conf": {ConfigFile: conf("insecure-transport: true\ndial-timeout: 10000000000\nallow-delayed-start: true\n" +
			"endpoints:\n  - \"" + plain + "\"\n")},
		"etcd.conf with TLS": {ConfigFile: conf("endpoints: [\"" + mutual + "\"]\nca-file: " + file("ca.crt") +
			"\ncert-file: " + file("tls.crt") + "\nkey-file: " + file("tls.key") + "\n")},
		"etcd.conf and Secret":      {ConfigFile: conf("endpoints: [\"" + mutual + "\"]\n"), SecretDir: folder},
		"etcd.conf that trusts all": {ConfigFile: conf("endpoints: [\"https://" + secure + "\"]\ninsecure-skip-tls-verify: true\n")},
		"etcd.conf with variables": {ConfigFile: conf("insecure-transport: true\nexpand-env-variables: true\n" +
			"endpoints: [\"${ETCD_HOST}:" + strings.TrimPrefix(plain, "127.0.0.1:") + "\"]\n")},
	} {
		t.Run(name, func(t *testing.T) {
			if err := get(t, s); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is wrong with an etcd is said, where the client would tell of a deadline alone.
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
	folder, foreign, stranger := a.secret(t, a), other.secret(t, other), a.secret(t, other)
	file := func(name string) string { return filepath.Join(folder, name) }
	wrong := write(t, t.TempDir(), map[string][]byte{"password": []byte("canary")})
	for _, c := range []struct {
		name     string
		settings etcdconf.Settings
		want     string
	}{
		{"away", etcdconf.Settings{Endpoints: []string{"http://" + closed.Addr().String()}}, "connection refused"},
		{"TLS to plain", etcdconf.Settings{Endpoints: []string{plain}, CAFile: file("ca.crt")}, "write http://"},
		{"plain to TLS", etcdconf.Settings{Endpoints: []string{"http://" + secure}}, "write https://"},
		{"unknown authority", etcdconf.Settings{Endpoints: []string{secure}, SecretDir: foreign}, "its authority is not in " + filepath.Join(foreign, "ca.crt")},
		{"no authority", etcdconf.Settings{Endpoints: []string{secure}}, "name the file with its authority's certificate"},
		{"another's certificate", etcdconf.Settings{Endpoints: []string{elsewhere}, CAFile: file("ca.crt")}, "use an endpoint that its certificate is for"},
		{"no client certificate", etcdconf.Settings{Endpoints: []string{mutual}, CAFile: file("ca.crt")}, "wants a client certificate"},
		{"wrong client certificate", etcdconf.Settings{Endpoints: []string{mutual}, SecretDir: stranger}, "does not take the client certificate"},
		{"wrong password", etcdconf.Settings{Endpoints: []string{"http://" + plain}, Username: "polynic", PasswordFile: filepath.Join(wrong, "password")}, "authentication failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := get(t, c.settings)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A renewed Secret counts from the next connection on, and a client that failed on the
// old one connects then.
func TestReadsFilesAgain(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	folder := a.secret(t, other)
	c, err := etcdconf.New(etcdconf.Settings{Endpoints: []string{serve(t, a.server(t, "127.0.0.1", &a))}, SecretDir: folder}, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := ask(t, c, client); err == nil {
		t.Fatal("etcd takes a client certificate of another authority")
	}
	cert, key := a.sign(t, "127.0.0.9")
	write(t, folder, map[string][]byte{"tls.crt": cert, "tls.key": key})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.Get(ctx, "key"); err != nil || c.Problem() != nil {
		t.Errorf("with the new certificate: %v, problem %v", err, c.Problem())
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdcerts_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/internal/etcdcerts"
)

type secret struct {
	Kind     string `json:"kind"`
	Type     string `json:"type"`
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data"`
}

func secrets(t *testing.T, r etcdcerts.Request) map[string]secret {
	t.Helper()
	text, err := etcdcerts.Manifest(r)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]secret{}
	for part := range strings.SplitSeq(string(text), "---\n") {
		var s secret
		if err := yaml.Unmarshal([]byte(part), &s); err != nil {
			t.Fatal(err)
		}
		if s.Kind != "Secret" || s.Type != "kubernetes.io/tls" {
			t.Errorf("kind %q, type %q", s.Kind, s.Type)
		}
		name := s.Metadata.Namespace + "/" + s.Metadata.Name
		if _, twice := all[name]; twice {
			t.Errorf("Secret %s is there twice", name)
		}
		all[name] = s
	}
	return all
}

func (s secret) pair(t *testing.T) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (s secret) authority(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.Data["ca.crt"]) {
		t.Fatal("there is no authority")
	}
	return pool
}

// handshake connects a client to a server that wants its certificate.
func handshake(t *testing.T, server, client secret, host string) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server.pair(t)},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: server.authority(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
			err = conn.(*tls.Conn).HandshakeContext(t.Context())
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{client.pair(t)}, RootCAs: client.authority(t), ServerName: host,
	})
	if err != nil {
		return errors.Join(err, <-done)
	}
	defer conn.Close()
	return <-done // the server judges the client's certificate last
}

func TestClientsAndServerMeet(t *testing.T) {
	r := etcdcerts.Request{Hosts: []string{"192.168.56.101", "fd00::1", "node1.example"}, Namespaces: []string{"vnfs", "default", "vnfs", "polynic-system"}, Now: time.Now(), Lifetime: time.Hour}
	all := secrets(t, r)
	want := []string{"default/polynic-etcd-client", "polynic-system/polynic-etcd", "polynic-system/polynic-etcd-client", "vnfs/polynic-etcd-client"}
	var got []string
	for name := range all {
		got = append(got, name)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("Secrets %v, want %v", got, want)
	}
	server := all["polynic-system/polynic-etcd"]
	for _, client := range []string{"polynic-system/polynic-etcd-client", "default/polynic-etcd-client", "vnfs/polynic-etcd-client"} {
		for _, host := range []string{
			"polynic-etcd.polynic-system.svc", "contiv-etcd.kube-system.svc.cluster.local", "127.0.0.1", "192.168.56.101", "fd00::1", "node1.example",
		} {
			if err := handshake(t, server, all[client], host); err != nil {
				t.Errorf("%s at %s: %v", client, host, err)
			}
		}
	}
	if err := handshake(t, server, all["default/polynic-etcd-client"], "192.0.2.1"); err == nil {
		t.Error("etcd's certificate is good for an address that was not named")
	}
	if err := handshake(t, server, server, "127.0.0.1"); err == nil {
		t.Error("etcd's own certificate is that of a client")
	}
	if err := handshake(t, server, secrets(t, r)["default/polynic-etcd-client"], "127.0.0.1"); err == nil {
		t.Error("the client of another etcd is let in")
	}
	r.Now = r.Now.Add(-2 * time.Hour)
	old := secrets(t, r)
	if err := handshake(t, old["polynic-system/polynic-etcd"], old["default/polynic-etcd-client"], "127.0.0.1"); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its time: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, r := range []etcdcerts.Request{
		{Hosts: []string{"192.168.56.101:32379"}, Lifetime: time.Hour}, {Hosts: []string{""}, Lifetime: time.Hour}, {},
	} {
		if text, err := etcdcerts.Manifest(r); err == nil {
			t.Errorf("%+v gives %d bytes", r, len(text))
		}
	}
}

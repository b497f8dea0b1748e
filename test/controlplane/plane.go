// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane is a Kubernetes control plane for tests: the real etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler as processes in the
// network namespace of the test, with keys and ports of their own, so that
// several can run beside each other.
//
// For a test that needs nothing but an API server:
//
//	plane := controlplane.Start(t, controlplane.Config{})
//	plane.Kubectl("get", "--raw", "/version")
package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
)

// Config describes a control plane; the zero value is one on loopback.
type Config struct {
	// Address is where the API server listens. Pods reach one that is not on
	// loopback by the Service "kubernetes".
	Address netip.Addr
}

// The cluster's ranges: of PodRanges the controller manager gives each node a
// /20 and a /64, Services have addresses of ServiceRanges, and the Service
// "kubernetes" has ServerService.
const (
	PodRanges     = "10.1.0.0/16,fd10:1::/48"
	ServiceRanges = "10.96.0.0/16,fd10:96::/112"
	ServerService = "10.96.0.1"
)

// Plane is a running control plane.
type Plane struct {
	// Dir holds keys, kubeconfigs and logs.
	Dir string
	// URL is the API server's.
	URL string

	t         testing.TB
	config    Config
	kubectl   string
	authority *authority
	apiserver *harness.Process
	server    harness.Program
}

// starting is how long a part may take to be ready, on a machine that is busy
// with other things too.
const starting = 2 * time.Minute

// Start starts etcd and the API server and waits until it is ready. Everything
// ends with the test.
func Start(t testing.TB, c Config) *Plane {
	t.Helper()
	etcd, server := kubebin.Need(t, "etcd"), kubebin.Need(t, "kube-apiserver")
	if !c.Address.IsValid() {
		c.Address = netip.MustParseAddr("127.0.0.1")
	}
	p := &Plane{Dir: t.TempDir(), t: t, config: c, kubectl: kubebin.Need(t, "kubectl")}
	t.Cleanup(p.showLogs)
	p.makeKeys()
	store := p.startEtcd(etcd)
	port := p.freePort()
	p.URL = "https://" + net.JoinHostPort(c.Address.String(), port)
	p.server = harness.Program{Path: server, Args: p.serverFlags(store, port), Log: p.path("kube-apiserver.log")}
	p.StartServer()
	return p
}

// path is a file of the control plane.
func (p *Plane) path(name string) string { return filepath.Join(p.Dir, name) }

func (p *Plane) makeKeys() {
	p.t.Helper()
	var err error
	if p.authority, err = newAuthority(); err != nil {
		p.t.Fatal(err)
	}
	p.write("ca.crt", p.authority.pem)
	p.Certificate("server", pkix.Name{CommonName: "kube-apiserver"},
		p.config.Address.String(), ServerService, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
	p.Certificate("kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}})
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := keyPEM(accounts)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("accounts.key", key)
}

// CA is the file of the certificate that signs all others.
func (p *Plane) CA() string { return p.path("ca.crt") }

// Certificate issues a certificate, signed by the cluster's authority, into
// NAME.crt and NAME.key, and gives their paths.
func (p *Plane) Certificate(name string, subject pkix.Name, hosts ...string) (cert, key string) {
	p.t.Helper()
	certPEM, private, err := p.authority.issue(subject, hosts...)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.write(name+".crt", certPEM), p.write(name+".key", private)
}

func (p *Plane) write(name string, data []byte) string {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.path(name)
}

// freePort is a port that nobody uses at this moment.
func (p *Plane) freePort() string {
	p.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(p.config.Address.String(), "0"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

func (p *Plane) startEtcd(path string) (url string) {
	p.t.Helper()
	url, peers := "http://"+net.JoinHostPort(p.config.Address.String(), p.freePort()), "http://127.0.0.1:"+p.freePort()
	harness.Program{Path: path, Log: p.path("etcd.log"), Args: []string{
		"--name=store", "--data-dir=" + p.path("etcd"), "--log-level=error",
		"--unsafe-no-fsync", // nobody needs it after a power cut
		"--listen-client-urls=" + url, "--advertise-client-urls=" + url,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=store=" + peers,
	}}.Start(p.t)
	return url
}

// StartServer starts the API server again after StopServer, and waits until it
// is ready.
func (p *Plane) StartServer() {
	p.t.Helper()
	p.apiserver = p.server.Start(p.t)
	Eventually(p.t, starting, func() error {
		select {
		case <-p.apiserver.Ended():
			p.t.Fatal("kube-apiserver ended")
		default:
		}
		_, err := p.TryKubectl("get", "--raw", "/readyz")
		return err
	})
}

// StopServer kills the API server.
func (p *Plane) StopServer() { p.apiserver.Kill() }

// showLogs prints the ends of the logs where the test failed.
func (p *Plane) showLogs() {
	if !p.t.Failed() {
		return
	}
	logs, _ := filepath.Glob(p.path("*.log"))
	for _, log := range logs {
		const shown = 4000
		text, err := os.ReadFile(log)
		if err != nil {
			text = []byte(err.Error())
		}
		p.t.Logf("%s (its end):\n%s", strings.TrimSuffix(filepath.Base(log), ".log"), text[max(0, len(text)-shown):])
	}
}

// describe is a certificate's subject for a user of the API.
func describe(user string, groups []string) pkix.Name {
	return pkix.Name{CommonName: user, Organization: groups}
}

// Kubeconfig writes a kubeconfig for a user and gives its path. The user
// "admin" in the group "system:masters" may do everything.
func (p *Plane) Kubeconfig(user string, groups ...string) string {
	p.t.Helper()
	name := strings.ReplaceAll(user, ":", "-")
	if path := p.path(name + ".kubeconfig"); exists(path) {
		return path
	}
	cert, key := p.Certificate(name, describe(user, groups))
	return p.write(name+".kubeconfig", fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, p.URL, p.CA(), cert, key))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package etcdcerts makes the certificates of the etcd in deploy/etcd and of its
// clients, as Secrets of Kubernetes. Their authority is made with them and its key
// forgotten: what it has not signed then, nobody can make it sign.
package etcdcerts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// The names that deploy/etcd has.
const (
	// Namespace is etcd's own.
	Namespace = "polynic-system"
	// ServerSecret is etcd's, and ClientSecret that of a client.
	ServerSecret = "polynic-etcd"
	ClientSecret = "polynic-etcd-client"
)

// skew is for clocks that are behind the one here.
const skew = time.Hour

// Request says what to make.
type Request struct {
	// Hosts are names and addresses that etcd is reached at, beside those of its
	// Services.
	Hosts []string
	// Namespaces are those whose pods are clients, beside Namespace.
	Namespaces []string
	// Now is the time, and Lifetime how long the certificates are good from then on.
	Now      time.Time
	Lifetime time.Duration
}

// Manifest makes an authority, etcd's certificate, and one for the clients of each
// namespace, and gives their Secrets as YAML.
func Manifest(r Request) ([]byte, error) {
	if r.Lifetime <= 0 {
		return nil, errors.New("certificates must be good for some time")
	}
	a, err := newAuthority(r)
	if err != nil {
		return nil, err
	}
	names := append(services(), r.Hosts...)
	server, err := a.issue(ServerSecret, x509.ExtKeyUsageServerAuth, names)
	if err != nil {
		return nil, fmt.Errorf("certificate of etcd: %w", err)
	}
	server.namespace = Namespace
	all := []secret{server}
	namespaces := slices.Concat([]string{Namespace}, r.Namespaces)
	slices.Sort(namespaces)
	for _, namespace := range slices.Compact(namespaces) {
		client, err := a.issue(ClientSecret, x509.ExtKeyUsageClientAuth, nil)
		if err != nil {
			return nil, fmt.Errorf("certificate for clients in %s: %w", namespace, err)
		}
		client.namespace = namespace
		all = append(all, client)
	}
	var texts []string
	for _, s := range all {
		text, err := s.manifest(a.pem)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return []byte(strings.Join(texts, "---\n")), nil
}

// services are the names of what deploy/etcd makes.
func services() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, service := range []string{"polynic-etcd." + Namespace, "contiv-etcd.kube-system"} {
		names = append(names, service, service+".svc", service+".svc.cluster.local")
	}
	return names
}

// authority signs, for as long as it is in memory.
type authority struct {
	request Request
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	pem     []byte
}

func newAuthority(r Request) (*authority, error) {
	a := &authority{request: r}
	template, err := a.template("polynic-etcd authority")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

func (a *authority) template(name string) (*x509.Certificate, error) {
	const bits = 127
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: a.request.Now.Add(-skew), NotAfter: a.request.Now.Add(a.request.Lifetime),
	}, nil
}

// issue makes a key and its certificate.
func (a *authority) issue(name string, usage x509.ExtKeyUsage, hosts []string) (secret, error) {
	template, err := a.template(name)
	if err != nil {
		return secret{}, err
	}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	for _, host := range hosts {
		if address, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		} else if host == "" || strings.ContainsAny(host, ":/ ") {
			return secret{}, fmt.Errorf("host %q is neither a name nor an address (without a port)", host)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return secret{}, err
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return secret{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return secret{}, err
	}
	return secret{
		name: name,
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// secret is a certificate and where it belongs.
type secret struct {
	namespace, name string
	cert, key       []byte
}

func (s secret) manifest(ca []byte) ([]byte, error) {
	return yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{
			"name": s.name, "namespace": s.namespace,
			"labels": map[string]string{"app.kubernetes.io/name": "polynic", "app.kubernetes.io/component": "etcd"},
		},
		"data": map[string][]byte{"ca.crt": ca, "tls.crt": s.cert, "tls.key": s.key},
	})
}

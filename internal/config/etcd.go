// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Etcd is how the etcd is reached where the agents in pods are told what is
// theirs (contivpp.io/microservice-label). There is none by default.
type Etcd struct {
	// Endpoints are its members: http://HOST:PORT, or https://HOST:PORT, which
	// HOST:PORT is as well.
	Endpoints []string `json:"endpoints,omitempty"`
	// ConfigFile is a file in the form that ligato's agents read (etcd.conf), in
	// place of Endpoints and TLS.
	ConfigFile string `json:"configFile,omitempty"`
	// TLS is what certificates there are. Those are read again when they change.
	TLS EtcdTLS `json:"tls"`
	// SecretDir is a folder, such as a mounted Secret, whose files ca.crt, tls.crt,
	// tls.key, username and password count where the other fields name none.
	SecretDir string `json:"secretDir,omitempty"`
	// Username is who the agent is to etcd, and PasswordFile holds the password.
	Username     string `json:"username,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
	// KeyForm is which form keys of routes have: "v2.1.1", "v3" or "both".
	KeyForm string `json:"keyForm"`
}

// EtcdTLS holds the paths of PEM files: CAFile is what etcd's certificate is
// signed by, CertFile and KeyFile are the agent's own.
type EtcdTLS struct {
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
}

// Enabled reports whether there is an etcd.
func (e Etcd) Enabled() bool { return len(e.Endpoints) > 0 || e.ConfigFile != "" }

// keyForms are those of package ligato.
func keyForms() []string { return []string{"v2.1.1", "v3", "both"} }

func (e Etcd) validate() []error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("etcd."+field+": "+format, args...))
	}
	if !slices.Contains(keyForms(), e.KeyForm) {
		bad("keyForm", "%q is not known (want %s)", e.KeyForm, strings.Join(keyForms(), ", "))
	}
	for i, endpoint := range e.Endpoints {
		if strings.TrimSpace(endpoint) == "" {
			bad(fmt.Sprintf("endpoints[%d]", i), "is empty (want HOST:PORT, http://HOST:PORT or https://HOST:PORT)")
		}
	}
	for _, f := range []struct{ field, path string }{
		{"configFile", e.ConfigFile},
		{"secretDir", e.SecretDir},
		{"passwordFile", e.PasswordFile},
		{"tls.caFile", e.TLS.CAFile},
		{"tls.certFile", e.TLS.CertFile},
		{"tls.keyFile", e.TLS.KeyFile},
	} {
		if f.path != "" && !filepath.IsAbs(f.path) {
			bad(f.field, "%q is not an absolute path", f.path)
		}
	}
	switch {
	case e.ConfigFile != "" && (len(e.Endpoints) > 0 || e.TLS != EtcdTLS{}):
		bad("configFile", "stands in place of endpoints and tls; give the one or the others")
	case !e.Enabled() && (e.TLS != EtcdTLS{} || e.SecretDir+e.Username+e.PasswordFile != ""):
		bad("endpoints", "at least one is required, or configFile, with what else is given")
	}
	if (e.TLS.CertFile == "") != (e.TLS.KeyFile == "") {
		bad("tls", "certFile and keyFile belong together")
	}
	if (e.Username == "") != (e.PasswordFile == "") && e.SecretDir == "" {
		bad("username", "it and passwordFile belong together")
	}
	return errs
}

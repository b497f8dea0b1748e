// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package etcdconf turns settings, or the file that ligato's agents are configured
// with (etcd.conf), into the configuration of an etcd client that says why it does
// not connect.
package etcdconf

import (
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Settings say where etcd is and who asks. The paths may be of files in a mounted
// Secret: those of TLS are read for every connection anew.
type Settings struct {
	// Endpoints are http://HOST:PORT, plain text, or https://HOST:PORT, TLS, which
	// HOST:PORT is as well; all of one kind.
	Endpoints []string
	// CAFile has the certificates of those who may sign etcd's; where it is empty,
	// the system's are taken. CertFile and KeyFile are the client's own, if any.
	CAFile, CertFile, KeyFile string
	// Username and PasswordFile are for an etcd that asks who is there.
	Username, PasswordFile string
}

// The time, as a bound, of one attempt to connect.
const (
	defaultDialTimeout = 5 * time.Second
	maxDialTimeout     = time.Hour
)

// Config is for a client. All files are read, so that what is wrong with one is
// said now; an error names setting or file, and what to do. Nothing is connected. The
// password is in the outcome: do not print it.
func (s Settings) Config() (clientv3.Config, error) {
	if len(s.Endpoints) == 0 {
		return clientv3.Config{}, errors.New("no endpoint of etcd is given: set etcd.endpoints, or etcd.configFile")
	}
	t := target{dialTimeout: defaultDialTimeout, files: files{ca: s.CAFile, cert: s.CertFile, key: s.KeyFile}}
	var err error
	if t.endpoints, t.plain, err = splitEndpoints(s.Endpoints); err != nil {
		return clientv3.Config{}, fmt.Errorf("etcd.endpoints: %w", err)
	}
	if t.plain && t.files != (files{}) {
		return clientv3.Config{}, errors.New("etcd.endpoints say http://, plain text, but etcd.tls names files: write https://, or remove etcd.tls")
	}
	if !t.files.paired() {
		return clientv3.Config{}, errors.New("etcd.tls.certFile and etcd.tls.keyFile go together: name both, or neither")
	}
	if (s.Username == "") != (s.PasswordFile == "") {
		return clientv3.Config{}, errors.New("etcd.username and etcd.passwordFile go together: give both, or neither")
	}
	c, err := t.config()
	if err != nil || s.Username == "" {
		return c, err
	}
	c.Username = s.Username
	if c.Password, err = readLine(s.PasswordFile); err != nil {
		return clientv3.Config{}, fmt.Errorf("etcd.passwordFile: %w", err)
	}
	if c.Password == "" {
		return clientv3.Config{}, fmt.Errorf("etcd.passwordFile: %s is empty: write the password of %s into it", s.PasswordFile, s.Username)
	}
	return c, nil
}

// LigatoFile is Settings.Config for what is in a file in the form of etcd.conf.
func LigatoFile(path string) (clientv3.Config, error) {
	c, err := readConf(path)
	if err != nil {
		return clientv3.Config{}, err
	}
	t := target{
		dialTimeout: time.Duration(c.DialTimeout),
		files:       files{ca: c.CAFile, cert: c.CertFile, key: c.KeyFile, skipVerify: c.SkipVerify},
	}
	if t.dialTimeout == 0 {
		t.dialTimeout = defaultDialTimeout
	}
	if t.endpoints, t.plain, err = splitEndpoints(c.Endpoints); err != nil {
		return clientv3.Config{}, fmt.Errorf("%s: endpoints: %w", path, err)
	}
	switch secure := anyHTTPS(c.Endpoints); {
	case secure && c.InsecureTransport:
		return clientv3.Config{}, fmt.Errorf("%s: insecure-transport is true, but endpoints say https://: change either", path)
	case c.InsecureTransport:
		t.plain = true
	case !t.plain && !secure && t.files == (files{}):
		return clientv3.Config{}, fmt.Errorf("%s: neither insecure-transport: true nor a ca-file: write the one for plain text, or the other for TLS", path)
	}
	if !t.files.paired() {
		return clientv3.Config{}, fmt.Errorf("%s: cert-file and key-file go together: name both, or neither", path)
	}
	return t.config()
}

// target is where to connect to, in what way.
type target struct {
	endpoints   []string // HOST:PORT
	plain       bool
	files       files
	dialTimeout time.Duration
}

func (t target) config() (clientv3.Config, error) {
	options := []grpc.DialOption{grpc.WithContextDialer(t.dial)}
	if !t.plain {
		if _, err := t.files.load(); err != nil {
			return clientv3.Config{}, err
		}
		// In place of the client's own, which would be made of files read once.
		options = append(options, grpc.WithTransportCredentials(handshaker{t}))
	}
	return clientv3.Config{Endpoints: t.endpoints, DialTimeout: t.dialTimeout, DialOptions: options}, nil
}

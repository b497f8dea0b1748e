// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package etcdconf turns settings, or the file that ligato's agents are configured
// with (etcd.conf), into the configuration of an etcd client, and tells why it does
// not connect.
package etcdconf

import (
	"errors"
	"fmt"
	"time"

	"github.com/polynic/polynic/internal/config"
)

// Settings say where etcd is and who asks. All paths may be of files in a mounted
// Secret.
type Settings struct {
	// Endpoints are http://HOST:PORT, plain text, or https://HOST:PORT, TLS, which
	// HOST:PORT is as well; all of one kind.
	Endpoints []string
	// ConfigFile is a file in the form of ligato's etcd.conf, in place of Endpoints
	// and the files of TLS.
	ConfigFile string
	// CAFile has the certificates of those who may sign etcd's; where it is empty,
	// the system's are taken. CertFile and KeyFile are the client's own, if any.
	CAFile, CertFile, KeyFile string
	// SecretDir is a folder, such as a mounted Secret, whose files ca.crt, tls.crt,
	// tls.key, username and password count where the settings do not say.
	SecretDir string
	// Username and PasswordFile are for an etcd that asks who is there.
	Username, PasswordFile string
}

// SettingsOf are those of the configuration.
func SettingsOf(c config.Etcd) Settings {
	return Settings{
		Endpoints: c.Endpoints, ConfigFile: c.ConfigFile, SecretDir: c.SecretDir,
		CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
		Username: c.Username, PasswordFile: c.PasswordFile,
	}
}

// Environment looks a variable up, as os.LookupEnv does.
type Environment func(name string) (value string, ok bool)

// The time, as a bound, of one attempt to connect.
const (
	defaultDialTimeout = 5 * time.Second
	maxDialTimeout     = time.Hour
)

// target is where to connect to, in what way.
type target struct {
	endpoints   []string // HOST:PORT
	plain       bool
	files       files
	dialTimeout time.Duration
	username    string
	password    string
}

// New reads the settings, and the files that they name, so that what is wrong with
// one is said now. An error names setting or file, and what to do. It does not
// connect.
func New(s Settings, env Environment) (*Connection, error) {
	if s.ConfigFile == "" && len(s.Endpoints) == 0 {
		return nil, errors.New("no endpoint of etcd is given: set etcd.endpoints, or etcd.configFile")
	}
	if s.ConfigFile != "" && (len(s.Endpoints) > 0 || s.CAFile+s.CertFile+s.KeyFile != "") {
		return nil, fmt.Errorf("etcd.configFile (%s) stands for endpoints and TLS: remove etcd.endpoints and etcd.tls, or etcd.configFile", s.ConfigFile)
	}
	t, err := s.target(env)
	if err != nil {
		return nil, err
	}
	if t.username, t.password, err = s.credentials(); err != nil {
		return nil, err
	}
	if !t.plain {
		if _, err := t.files.load(); err != nil {
			return nil, err
		}
	}
	return &Connection{target: t}, nil
}

func (s Settings) target(env Environment) (target, error) {
	if s.ConfigFile != "" {
		return s.fromFile(env)
	}
	t := target{dialTimeout: defaultDialTimeout, files: files{ca: s.CAFile, cert: s.CertFile, key: s.KeyFile}}
	var err error
	if t.endpoints, t.plain, err = splitEndpoints(s.Endpoints); err != nil {
		return target{}, fmt.Errorf("etcd.endpoints: %w", err)
	}
	if t.plain {
		if t.files != (files{}) {
			return target{}, errors.New("etcd.endpoints say http://, plain text, but etcd.tls names files: write https://, or remove etcd.tls")
		}
		return t, nil
	}
	return t, t.complete(s.SecretDir, "etcd.tls.certFile and etcd.tls.keyFile")
}

// fromFile is the target that ConfigFile describes.
func (s Settings) fromFile(env Environment) (target, error) {
	c, err := readConf(s.ConfigFile, env)
	if err != nil {
		return target{}, err
	}
	t := target{
		dialTimeout: time.Duration(c.DialTimeout),
		files:       files{ca: c.CAFile, cert: c.CertFile, key: c.KeyFile, skipVerify: c.SkipVerify},
	}
	if t.dialTimeout == 0 {
		t.dialTimeout = defaultDialTimeout
	}
	var http bool
	if t.endpoints, http, err = splitEndpoints(c.Endpoints); err != nil {
		return target{}, fmt.Errorf("%s: endpoints: %w", s.ConfigFile, err)
	}
	switch t.plain = c.InsecureTransport || http; {
	case c.InsecureTransport && anyHTTPS(c.Endpoints):
		return target{}, fmt.Errorf("%s: insecure-transport is true, but endpoints say https://: change either", s.ConfigFile)
	case !c.InsecureTransport && http && c.CAFile+c.CertFile+c.KeyFile != "":
		return target{}, fmt.Errorf("%s: endpoints say http://, plain text, but it names files of TLS: write https://, or remove them", s.ConfigFile)
	case t.plain:
		t.files = files{}
		return t, nil
	}
	if err := t.complete(s.SecretDir, s.ConfigFile+": cert-file and key-file"); err != nil {
		return target{}, err
	}
	if t.files == (files{}) && !anyHTTPS(c.Endpoints) {
		return target{}, fmt.Errorf("%s: neither insecure-transport: true nor a ca-file: write the one for plain text, or the other for TLS", s.ConfigFile)
	}
	return t, nil
}

// complete takes from the folder the files of TLS that nothing else names.
func (t *target) complete(dir, pair string) error {
	if dir != "" {
		if err := t.files.fill(dir); err != nil {
			return err
		}
	}
	if (t.files.cert == "") != (t.files.key == "") {
		return fmt.Errorf("%s go together: name both, or neither", pair)
	}
	return nil
}

// credentials are the name and password to log in with; both empty for none.
func (s Settings) credentials() (username, password string, err error) {
	username, file := s.Username, s.PasswordFile
	if s.SecretDir != "" && username == "" {
		if username, err = optional(s.SecretDir, "username"); err != nil {
			return "", "", err
		}
	}
	if s.SecretDir != "" && file == "" && username != "" {
		if file, err = existing(s.SecretDir, "password"); err != nil {
			return "", "", err
		}
	}
	if (username == "") != (file == "") {
		return "", "", errors.New("etcd.username and etcd.passwordFile go together: give both, or neither")
	}
	if username == "" {
		return "", "", nil
	}
	if password, err = readLine(file); err != nil {
		return "", "", fmt.Errorf("etcd.passwordFile: %w", err)
	}
	if password == "" {
		return "", "", fmt.Errorf("etcd.passwordFile: %s is empty: write the password of %s into it", file, username)
	}
	return username, password, nil
}

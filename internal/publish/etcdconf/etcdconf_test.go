// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/publish/etcdconf"
)

func environment(variables map[string]string) etcdconf.Environment {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// fromConf reads an etcd.conf, here in a file of that name.
func fromConf(t *testing.T, text string, variables map[string]string) (*etcdconf.Connection, error) {
	t.Helper()
	dir := write(t, t.TempDir(), map[string][]byte{"etcd.conf": []byte(text)})
	return etcdconf.New(etcdconf.Settings{ConfigFile: filepath.Join(dir, "etcd.conf")}, environment(variables))
}

func TestConf(t *testing.T) {
	const plain = "insecure-transport: true\n"
	for _, c := range []struct {
		name, text string
		variables  map[string]string
		want       []string
		timeout    time.Duration
	}{
		{"documents", plain + "dial-timeout: 10000000000\nallow-delayed-start: true\nendpoints:\n  - \"192.168.56.101:32379\"\n", nil, []string{"192.168.56.101:32379"}, 10 * time.Second},
		{"a time with its unit", plain + "dial-timeout: 2s\nendpoints: [a:1]", nil, []string{"a:1"}, 2 * time.Second},
		{"no time", plain + "endpoints: [\"[fd00::1]:2379\", \"http://b:2/\"]", nil, nil, 0}, // two kinds
		{"IPv6", plain + "endpoints: [\"[fd00::1]:2379\"]", nil, []string{"[fd00::1]:2379"}, 5 * time.Second},
		{"scheme alone", "endpoints: [\"http://b:2/\"]", nil, []string{"b:2"}, 5 * time.Second},
		{"what means nothing here", plain + "session-ttl: 5\nauto-compact: 0\noperation-timeout: 1\nreconnect-interval: 1\nresync-after-reconnect: true\nendpoints: [a:1]", nil, []string{"a:1"}, 5 * time.Second},
		{"environment's endpoints", plain, map[string]string{"ETCD_ENDPOINTS": "a:1,b:2"}, []string{"a:1", "b:2"}, 5 * time.Second},
		{"environment's endpoints, old name", plain, map[string]string{"ETCDV3_ENDPOINTS": "a:1"}, []string{"a:1"}, 5 * time.Second},
		{"variables", plain + "endpoints: [\"${HOST}:$PORT\"]", map[string]string{"ETCD_EXPAND_ENV_VARS": "true", "HOST": "a", "PORT": "1"}, []string{"a:1"}, 5 * time.Second},
	} {
		got, err := fromConf(t, c.text, c.variables)
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: it is taken", c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if config := got.Config(); !slices.Equal(config.Endpoints, c.want) || config.DialTimeout != c.timeout {
			t.Errorf("%s: endpoints %v, timeout %v; want %v, %v", c.name, config.Endpoints, config.DialTimeout, c.want, c.timeout)
		}
	}
}

// An error names the file, the key, and what to do.
func TestConfRefusals(t *testing.T) {
	const plain = "insecure-transport: true\n"
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "endpoints: [", "not in YAML form"},
		{"a key twice", "endpoints: [a:1]\nendpoints: [a:1]", `"endpoints" already set`},
		{"no keys", "- a", "want a list of keys"},
		{"a key in another form", plain + "dial_timeout: 1", "did you mean dial-timeout?"},
		{"an unknown key", plain + "port: 1", `key "port" is not known; known are endpoints`},
		{"a word for a truth", "insecure-transport: maybe\nendpoints: [a:1]", "insecure-transport: a string"},
		{"one endpoint for a list", plain + "endpoints: a:1", "endpoints: a string"},
		{"no endpoint", plain, "endpoints: there is none"},
		{"no port", plain + "endpoints: [localhost]", "mostly 2379"},
		{"no number", plain + "endpoints: [\"a:etcd\"]", `"a:etcd" is not`},
		{"a name to log in with", plain + "endpoints: [\"http://me@a:1\"]", "etcd.username"},
		{"another scheme", plain + "endpoints: [\"unix:///run/etcd.sock\"]", "no other scheme"},
		{"a variable, not replaced", plain + "endpoints: [\"$HOST:1\"]", "ETCD_EXPAND_ENV_VARS"},
		{"a variable that is not there", plain + "expand-env-variables: true\nendpoints: [\"$HOST:1\"]", `variable "HOST" is not in the environment`},
		{"neither plain nor TLS", "endpoints: [a:1]", "neither insecure-transport: true nor a ca-file"},
		{"plain and TLS", plain + "endpoints: [\"https://a:1\"]", "change either"},
		{"plain endpoints with TLS", "endpoints: [\"http://a:1\"]\nca-file: x", "write https://"},
		{"a certificate without a key", "endpoints: [a:1]\ncert-file: x", "cert-file and key-file go together"},
		{"no such file", "endpoints: [a:1]\nca-file: /does/not/exist", "open /does/not/exist"},
		{"too long", plain + "endpoints: [a:1]\ndial-timeout: 36000000000000000", "dial-timeout: want 0"},
		{"too short", plain + "endpoints: [a:1]\ndial-timeout: 10", "dial-timeout: want 0"},
		{"no time", plain + "endpoints: [a:1]\ndial-timeout: soon", `dial-timeout: "soon"`},
		{"a list of times", plain + "endpoints: [a:1]\ndial-timeout: [1]", "dial-timeout: write a number"},
	} {
		_, err := fromConf(t, c.text, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestSettingsRefusals(t *testing.T) {
	a := newAuthority(t)
	cert, _ := a.sign(t, "127.0.0.1")
	_, key := a.sign(t, "127.0.0.1")
	dir := write(t, t.TempDir(), map[string][]byte{
		"cert": cert, "key": key, "ca": a.pem, "empty": nil, "lines": []byte("canary\ncanary"), "etcd.conf": []byte("endpoints: [a:1]"),
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name     string
		settings etcdconf.Settings
		want     string
	}{
		{"nothing", etcdconf.Settings{}, "set etcd.endpoints"},
		{"two places", etcdconf.Settings{Endpoints: []string{"a:1"}, ConfigFile: file("etcd.conf")}, "remove etcd.endpoints"},
		{"no such etcd.conf", etcdconf.Settings{ConfigFile: file("none")}, "etcd.configFile: open " + file("none")},
		{"plain with TLS", etcdconf.Settings{Endpoints: []string{"http://a:1"}, CAFile: file("ca")}, "write https://"},
		{"plain and TLS", etcdconf.Settings{Endpoints: []string{"http://a:1", "b:2"}}, `"http://a:1" and "b:2"`},
		{"password in an endpoint", etcdconf.Settings{Endpoints: []string{"http://me:canary@a:1"}}, `"http://...@a:1" is not`},
		{"password without a scheme", etcdconf.Settings{Endpoints: []string{"me:canary@a:1"}}, `"...@a:1" is not`},
		{"password in one of two kinds", etcdconf.Settings{Endpoints: []string{"a:1", "http://me:canary@b:2"}}, "one is for plain text"},
		{"no PEM", etcdconf.Settings{Endpoints: []string{"a:1"}, CAFile: file("empty")}, file("empty") + " has none in PEM form"},
		{"another's key", etcdconf.Settings{Endpoints: []string{"a:1"}, CertFile: file("cert"), KeyFile: file("key")}, "private key does not match"},
		{"no key", etcdconf.Settings{Endpoints: []string{"a:1"}, CertFile: file("cert")}, "go together"},
		{"no Secret", etcdconf.Settings{Endpoints: []string{"a:1"}, SecretDir: file("none")}, "mount the Secret there"},
		{"no password", etcdconf.Settings{Endpoints: []string{"a:1"}, Username: "me"}, "etcd.username and etcd.passwordFile go together"},
		{"empty password", etcdconf.Settings{Endpoints: []string{"a:1"}, Username: "me", PasswordFile: file("empty")}, "is empty"},
		{"two lines", etcdconf.Settings{Endpoints: []string{"a:1"}, Username: "me", PasswordFile: file("lines")}, "more than one line"},
	} {
		_, err := etcdconf.New(c.settings, environment(nil))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

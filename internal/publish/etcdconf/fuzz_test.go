// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/publish/etcdconf"
)

// Whatever is in an etcd.conf, it is either refused by an error that names the file,
// or gives a client something to connect to. Variables may hold anything too.
func FuzzConf(f *testing.F) {
	for _, seed := range []string{
		"endpoints: [a:1, \"http://b:2\"]\n", "dial-timeout: -1e400\n", "? [a]\n: b\n", "&a [*a]", "\"\\ud800\": 1", "--- {}\n--- {}\n",
	} {
		f.Add([]byte(seed), "127.0.0.1")
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		path := filepath.Join(t.TempDir(), "etcd.conf")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := etcdconf.New(etcdconf.Settings{ConfigFile: path}, environment(map[string]string{"X": value}))
		if err != nil {
			if !strings.Contains(err.Error(), path) && !strings.Contains(err.Error(), "etcd's authority") && !strings.Contains(err.Error(), "client certificate") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		config := c.Config()
		if len(config.Endpoints) == 0 || config.DialTimeout < time.Millisecond || config.DialTimeout > time.Hour {
			t.Errorf("endpoints %v, timeout %v", config.Endpoints, config.DialTimeout)
		}
		for _, e := range config.Endpoints {
			if host, port, err := net.SplitHostPort(e); err != nil || host == "" || port == "" || strings.Contains(e, "://") {
				t.Errorf("endpoint %q: %v", e, err)
			}
		}
	})
}

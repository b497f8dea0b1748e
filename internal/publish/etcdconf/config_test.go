// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/publish/etcdconf"
)

// Whatever the configuration says of etcd has its effect, but for the form of keys,
// which is none of a connection's.
func TestSettingsOfAConfiguration(t *testing.T) {
	words := strings.Fields("endpoint file ca cert key secrets name password")
	c := config.Etcd{
		Endpoints: words[:1], ConfigFile: words[1], TLS: config.EtcdTLS{CAFile: words[2], CertFile: words[3], KeyFile: words[4]},
		SecretDir: words[5], Username: words[6], PasswordFile: words[7],
	}
	var told map[string]any
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &told)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 7 { // and those of tls
		t.Errorf("the configuration has other fields than are tried here: %s", text)
	}
	s := etcdconf.SettingsOf(c)
	got := append(slices.Clone(s.Endpoints), s.ConfigFile, s.CAFile, s.CertFile, s.KeyFile, s.SecretDir, s.Username, s.PasswordFile)
	if !slices.Equal(got, words) {
		t.Errorf("settings have %v, want %v", got, words)
	}
}

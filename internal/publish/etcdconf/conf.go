// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// conf is etcd.conf of ligato's agents (cn-infra v2, db/keyval/etcd/config.go). The
// keys that it does not hold are those that mean nothing here.
type conf struct {
	Endpoints         []string    `json:"endpoints"`
	DialTimeout       nanoseconds `json:"dial-timeout"`
	InsecureTransport bool        `json:"insecure-transport"`
	SkipVerify        bool        `json:"insecure-skip-tls-verify"`
	CertFile          string      `json:"cert-file"`
	KeyFile           string      `json:"key-file"`
	CAFile            string      `json:"ca-file"`
	ExpandEnvVars     bool        `json:"expand-env-variables"`
}

// confKeys are all keys of etcd.conf.
func confKeys() []string {
	return []string{
		"endpoints", "dial-timeout", "insecure-transport", "insecure-skip-tls-verify", "cert-file", "key-file", "ca-file", "expand-env-variables",
		"allow-delayed-start", "auto-compact", "operation-timeout", "reconnect-interval", "resync-after-reconnect", "session-ttl",
	}
}

// nanoseconds is a time as etcd.conf has it: a number, or text such as "10s".
type nanoseconds time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (n *nanoseconds) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("dial-timeout: %q is neither a number of nanoseconds nor a time such as \"10s\"", text)
		}
		*n = nanoseconds(d)
		return n.check()
	}
	var number float64
	if err := json.Unmarshal(data, &number); err != nil {
		return errors.New("dial-timeout: write a number of nanoseconds, such as 10000000000 for 10 seconds")
	}
	*n = nanoseconds(max(min(number, float64(2*maxDialTimeout)), -1))
	return n.check()
}

func (n *nanoseconds) check() error {
	if d := time.Duration(*n); d < 0 || d > maxDialTimeout || d > 0 && d < time.Millisecond {
		return fmt.Errorf("dial-timeout: want 0, for the default, or 1000000 (1 ms) to %d (%v), in nanoseconds", maxDialTimeout.Nanoseconds(), maxDialTimeout)
	}
	return nil
}

// readConf reads a file.
func readConf(path string, env Environment) (conf, error) {
	data, err := read(path)
	if err != nil {
		return conf{}, fmt.Errorf("etcd.configFile: %w", err)
	}
	c, err := parseConf(data, env)
	if err != nil {
		return conf{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// parseConf reads what is in a file. Without endpoints, those of the environment
// count, as they do for ligato's agents. An error names the key.
func parseConf(data []byte, env Environment) (conf, error) {
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return conf{}, fmt.Errorf("not in YAML form: %w", err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return conf{}, errors.New("want a list of keys and values, such as endpoints: [\"HOST:PORT\"]")
	}
	for key := range keys {
		if !slices.Contains(confKeys(), key) {
			return conf{}, fmt.Errorf("key %q is not known%s", key, nearKey(key))
		}
	}
	var c conf
	if err := json.Unmarshal(text, &c); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return conf{}, fmt.Errorf("%s: a %s is not what is wanted there (%s)", wrong.Field, wrong.Value, wrong.Type)
		}
		return conf{}, err
	}
	if len(c.Endpoints) == 0 {
		c.Endpoints = environmentEndpoints(env)
	}
	if _, ok := env("ETCD_EXPAND_ENV_VARS"); ok || c.ExpandEnvVars {
		return c, c.expand(env)
	}
	return c, nil
}

// nearKey is a hint for a key that is written in another way.
func nearKey(key string) string {
	plain := func(k string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(k)) }
	for _, known := range confKeys() {
		if plain(known) == plain(key) {
			return "; did you mean " + known + "?"
		}
	}
	return "; known are " + strings.Join(confKeys(), ", ")
}

func environmentEndpoints(env Environment) []string {
	for _, name := range []string{"ETCD_ENDPOINTS", "ETCDV3_ENDPOINTS"} {
		if list, ok := env(name); ok && list != "" {
			return strings.Split(list, ",")
		}
	}
	return nil
}

// expand replaces $NAME and ${NAME} by the environment's values.
func (c *conf) expand(env Environment) error {
	var missing []string
	replace := func(text string) string {
		return os.Expand(text, func(name string) string {
			value, ok := env(name)
			if !ok {
				missing = append(missing, name)
			}
			return value
		})
	}
	for i, e := range c.Endpoints {
		c.Endpoints[i] = replace(e)
	}
	for _, path := range []*string{&c.CAFile, &c.CertFile, &c.KeyFile} {
		*path = replace(*path)
	}
	if len(missing) > 0 {
		return fmt.Errorf("variable %q is not in the environment: set it, or write the value", missing[0])
	}
	return nil
}

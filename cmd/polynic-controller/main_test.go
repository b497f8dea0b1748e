// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	var out strings.Builder
	c := command()
	c.SetArgs([]string{"--version"})
	c.SetOut(&out)
	if err := c.ExecuteContext(t.Context()); err != nil || !strings.HasPrefix(out.String(), "polynic-controller ") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// What keeps it from its work is told in one sentence.
func TestUserErrors(t *testing.T) {
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	const server = `{"apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c"}}],
		"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(server), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("POD_NAMESPACE", "")
	for name, c := range map[string]struct {
		config string
		args   []string
		want   string
	}{
		"no namespace": {"", nil, "--namespace is missing"},
		"unknown flag": {"", []string{"--none"}, "unknown flag: --none; see `polynic-controller --help`"},
		"unknown word": {"", []string{"leed"}, "see `polynic-controller --help`"},
		"bad level":    {"", []string{"--log-level", "loud"}, `"loud"`},
		"no file":      {"", []string{"--namespace", "a", "--config", filepath.Join(dir, "none.yaml")}, "none.yaml: no such file"},
		"no pod":       {"", []string{"--namespace", "a"}, "this is no pod with a service account"},
		"bad etcd": {
			"kubernetes: {kubeconfig: " + kubeconfig + "}\netcd: {endpoints: ['x:1'], keyForm: v9}\n",
			[]string{"--namespace", "a"},
			"etcd.keyForm: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(path, []byte("nodeName: a\npodSource: kubernetes\n"+c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			root := command()
			root.SetArgs(append([]string{"--config", path}, c.args...))
			err := root.ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("said %v, want one sentence with %q", err, c.want)
			}
		})
	}
}

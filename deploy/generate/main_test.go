// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/internal/config"
)

// What was generated is what the manifests would give now. That kustomize and
// Helm make the same objects of it is tested in test/deploy.
func TestCurrent(t *testing.T) {
	fresh := t.TempDir()
	if err := os.CopyFS(fresh, os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	if err := run(fresh); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(t, ".."), tree(t, fresh)); diff != "" {
		t.Errorf("run go generate ./deploy/... (-is +would be):\n%s", diff)
	}
}

func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, root)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The configurations in the manifests are such that the agent takes.
func TestConfigurations(t *testing.T) {
	t.Setenv("NODE_NAME", "node1")
	for _, path := range []string{"../overlays/linux/config.yaml", "../overlays/vpp/config.yaml", "../uninstall.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var m corev1.ConfigMap
			if err := yaml.Unmarshal([]byte(document), &m); err != nil || m.Kind != "ConfigMap" {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(file, []byte(m.Data["agent.yaml"]), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(file); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if found != 1 {
			t.Errorf("%s: %d configurations", path, found)
		}
	}
}

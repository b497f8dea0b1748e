// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package kubebin finds the programs of a Kubernetes cluster (etcd,
// kube-apiserver, kubelet, kubectl, containerd and others) that
// test/cluster/build made in the user's cache.
package kubebin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/need"
)

// Need gives the path of a program. A test that has none is skipped, or fails
// where REQUIRE names the suite "cluster".
func Need(t testing.TB, program string) string {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, program)
	if _, err := os.Stat(path); err != nil {
		need.Lack(t, need.Cluster, fmt.Sprintf("%s is not built: test/cluster/build %[1]s (minutes, once)", program))
	}
	return path
}

// Dir is the folder of the programs in the versions that this tree asks for.
func Dir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("kubebin: built with -trimpath, which hides where the tree is")
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(file), "../cluster/build"), "--dir")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/polynic/polynic/test/controlplane"
)

// TestReal has the real API server pass what the fake passes.
func TestReal(t *testing.T) {
	suite(t, func(t testing.TB) (string, outage) {
		t.Helper()
		plane := controlplane.Start(t, controlplane.Config{})
		// No controller makes the one that every pod has.
		plane.Kubectl("create", "serviceaccount", "default")
		return flat(t, plane.Kubeconfig("admin", "system:masters")), server{plane}
	})
}

// flat is a kubeconfig that has what it names of files: for files client-go looks
// out as long as the process lives.
func flat(t testing.TB, kubeconfig string) string {
	t.Helper()
	settings, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmdapi.FlattenConfig(settings); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*settings, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// server is the API server of a control plane.
type server struct{ *controlplane.Plane }

func (s server) Stop()  { s.StopServer() }
func (s server) Start() { s.StartServer() }

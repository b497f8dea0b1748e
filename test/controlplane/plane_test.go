// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"os"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

func TestWhatIsAppliedOutlivesTheServer(t *testing.T) {
	need.Root(t)
	plane := controlplane.Start(t, controlplane.Config{})
	plane.Apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {word: here}}`)
	plane.StopServer()
	if out, err := plane.TryKubectl("get", "configmaps"); err == nil {
		t.Fatalf("the server is stopped and answers: %s", out)
	}
	plane.StartServer()
	if word := plane.Kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.word}"); word != "here" {
		t.Errorf("the ConfigMap has %q", word)
	}
}

func TestWhoHasNoRightsIsRefused(t *testing.T) {
	need.Root(t)
	plane := controlplane.Start(t, controlplane.Config{})
	_, err := plane.TryKubectl("get", "pods", "--as", "somebody")
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("somebody may list pods: %v", err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubebin_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/kubebin"
)

func TestProgramIsOfTheVersionAskedFor(t *testing.T) {
	out, err := exec.Command("go", "list", "-C", "../cluster/programs", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command(kubebin.Need(t, "kubectl"), "version", "--client").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "Client Version: " + strings.TrimSpace(string(out)) + "\n"; !strings.HasPrefix(string(version), want) {
		t.Errorf("kubectl says %q, want %q", version, want)
	}
}

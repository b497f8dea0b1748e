// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/test/harness"
)

// shellPod is the manifest of a pod that waits for commands, with custom
// interfaces.
func shellPod(name, interfaces string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {contivpp.io/custom-if: %q}, labels: {app: %[1]s}}
spec:
  containers: [{name: shell, image: shell}]
---
`, name, interfaces)
}

// address is the IPv4 address of a pod's interface.
func (s suite) address(pod, name string) string {
	s.t.Helper()
	for _, i := range s.interfaces() {
		if i.Pod == pod && i.Name == name {
			return i.IPs[0].Addr().String()
		}
	}
	s.t.Fatalf("%s has no interface %s", pod, name)
	return ""
}

// interfaces asks the agent, as "polynic get interfaces" does.
func (s suite) interfaces() []inspect.Interface {
	s.t.Helper()
	list, err := inspect.NewClient("/run/polynic/inspect.sock").Interfaces(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// expectClean waits until the node is as it was.
func (s suite) expectClean(baseline harness.Leftovers) {
	s.t.Helper()
	outer := s.agent.TB
	s.agent.TB = s.t
	defer func() { s.agent.TB = outer }()
	s.agent.ExpectClean(baseline)
}

// netns is the path of a pod's network namespace: the one that has its address.
func (s suite) netns(pod string) string {
	s.t.Helper()
	address := s.address(pod, "eth0")
	all, err := filepath.Glob("/run/netns/cni-*")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range all {
		out, err := exec.Command("ip", "-n", filepath.Base(path), "-o", "-4", "addr").Output()
		if err == nil && strings.Contains(string(out), " "+address+"/32 ") {
			return path
		}
	}
	s.t.Fatalf("none of %v has %s of %s", all, address, pod)
	return ""
}

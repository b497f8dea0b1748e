// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
)

// threeMemifs has three memifs for two containers: the first has one device, the
// other the rest.
const threeMemifs = `
apiVersion: v1
kind: Pod
metadata: {name: three, annotations: {contivpp.io/custom-if: "memif1/memif, memif2/memif, memif3/memif"}}
spec:
  containers:
  - {name: first, image: "debian:bookworm", resources: {limits: {contivpp.io/memif: 1}}}
  - {name: second, image: "debian:bookworm", resources: {limits: {contivpp.io/memif: 2}}}
`

// memifContainers has two containers of one pod with memifs: each has a socket and
// a secret of its own, and an application in each answers at its own interface.
func (s suite) memifContainers() {
	s.Apply(threeMemifs + "---" + shellPod("ping-pod", ""))
	s.waitPods(2)
	first, second := s.memifEnv("first"), s.memifEnv("second")
	if first == second {
		s.t.Errorf("both containers have\n%s", first)
	}
	s.expectAnswer("first", "memif1", 0)
	s.expectAnswer("second", "memif2", 1)
	s.expectAnswer("second", "memif3", 2)
	s.Kubectl("delete", "pod", "three", "ping-pod")
}

// memifEnv is what a container of the pod "three" has in its environment.
func (s suite) memifEnv(container string) string {
	s.t.Helper()
	env := s.Kubectl("exec", "three", "-c", container, "--", "sh", "-c", "env | grep MEMIF | sort")
	if !strings.HasPrefix(env, "MEMIF_SECRET=") || !strings.Contains(env, "\nMEMIF_SOCKET=/run/vpp/memif.sock\n") {
		s.t.Errorf("the environment of container %s:\n%s", container, env)
	}
	return env
}

// expectAnswer runs testpmd at one memif of a container of the pod "three", and has
// it pinged from another pod.
func (s suite) expectAnswer(container, name string, id int) {
	s.t.Helper()
	command := strings.Replace(testpmd, ",id=0,", fmt.Sprintf(",id=%d,", id), 1)
	s.expectPings(s.address("three", name), "three", "-c", container, "--", "sh", "-c", command)
}

// expectPings has an address pinged by the pod "ping-pod" until it answers, while a
// command runs in a container.
func (s suite) expectPings(address string, command ...string) {
	s.t.Helper()
	stop := s.background(s.Command(append([]string{"exec", "-i"}, command...)...))
	defer stop()
	controlplane.Eventually(s.t, time.Minute, func() error {
		_, err := s.TryKubectl("exec", "ping-pod", "--", "ping", "-c", "1", "-W", "1", address)
		return err
	})
}

// agentBetween kills the agent after kubelet was given devices for a pod and before
// the runtime asks for the pod's interfaces: the next agent knows what was given.
func (s suite) agentBetween() {
	folder := s.t.TempDir()
	held, reached, plugin := filepath.Join(folder, "held"), filepath.Join(folder, "reached"), filepath.Join(folder, "plugin")
	if err := os.WriteFile(held, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	script := fmt.Sprintf(heldPlugin, reached, held, harness.Bin("polynic-cni"))
	if err := os.WriteFile(plugin, []byte(script), 0o755); err != nil { //nolint:gosec // a program
		s.t.Fatal(err)
	}
	s.install(plugin)
	defer s.install(harness.Bin("polynic-cni"))
	s.Apply(manifest(s.t, "vnf-pod.yaml") + "---" + shellPod("ping-pod", ""))
	controlplane.Eventually(s.t, time.Minute, func() error {
		_, err := os.Stat(reached)
		return err
	})
	s.agent.RestartAgent()
	if err := os.Remove(held); err != nil {
		s.t.Fatal(err)
	}
	s.waitPods(2)
	s.expectPings(s.address("vnf-pod", "memif1"), "vnf-pod", "--", "sh", "-c", testpmd)
	s.Kubectl("delete", "pod", "vnf-pod", "ping-pod")
}

// heldPlugin marks that the runtime asks for the interfaces of the pod vnf-pod, to
// which kubelet gave devices before, and waits while a file is there. Then it is the
// program of its last argument.
const heldPlugin = `#!/bin/sh
if [ "$CNI_COMMAND" = ADD ]; then
	case $CNI_ARGS in *K8S_POD_NAME=vnf-pod*) : > '%s' ;; esac
	while [ -e '%s' ]; do sleep 0.05; done
fi
exec '%s'
`

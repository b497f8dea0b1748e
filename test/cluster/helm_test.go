// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"os/exec"
	"strings"

	"github.com/polynic/polynic/test/kubebin"
)

// helm installs the chart and takes it away, in the steps of docs/install.md.
func (s suite) helm() {
	const namespace = "polynic-system"
	s.runHelm("install", "polynic", "../../deploy/chart", "--namespace", namespace, "--create-namespace", "--wait", "--timeout=2m",
		"--set", "image.repository=polynic", "--set", "image.tag=devel", "--set", "agent.network.subnets[0].cidr=10.1.0.0/16")
	s.node.WaitReady()
	s.multiInterface()

	// The configuration is the one that was set.
	s.runHelm("upgrade", "polynic", "../../deploy/chart", "--namespace", namespace, "--wait", "--timeout=2m", "--reuse-values",
		"--set", "agent.memif.enabled=false")
	s.Kubectl("rollout", "status", "-n", namespace, "daemonset", "polynic-agent", "--timeout=2m")
	if conf := s.Kubectl("get", "configmap", "-n", namespace, "polynic-agent", "-o", "jsonpath={.data}"); !strings.Contains(conf, "10.1.0.0/16") {
		s.t.Errorf("the agent's configuration is %s", conf)
	}
	s.multiInterface()

	s.runHelm("uninstall", "polynic", "--namespace", namespace, "--wait", "--timeout=2m")
	s.Kubectl("rollout", "status", "-n", namespace, "daemonset", "polynic-uninstall", "--timeout=2m")
	s.Kubectl("delete", "-n", namespace, "daemonset,configmap", "polynic-uninstall", "--timeout=2m")
	s.expectRemoved()
}

func (s suite) runHelm(args ...string) {
	s.t.Helper()
	cmd := exec.Command(kubebin.Need(s.t, "helm"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig("admin", "system:masters"), "HOME="+s.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", cmd, err, out)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/kubenode"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/registry"
)

// TestDeployed has the product as users get it: one manifest, an image, and
// DaemonSets that are not privileged.
func TestDeployed(t *testing.T) {
	needPrograms(t)
	c := startCluster(t)
	c.addProduct()
	c.deploy()
	c.startDNS()
	for _, part := range []struct {
		name string
		try  func(suite)
	}{
		{"multi-if-pod", suite.multiInterface},
		{"vnf-pod", suite.memif},
		{"walkthrough", suite.walkthrough},
		{"etcd", suite.deployedEtcd},
		{"host port", suite.hostPort},
		{"service endpoints", suite.serviceEndpoints},
		{"refused at apply", suite.refusedAtApply},
		{"agent replaced", suite.agentReplaced},
		{"uninstalled", suite.uninstalled},
		{"helm", suite.helm},
	} {
		t.Run(part.name, func(t *testing.T) {
			own := *c
			own.t = t
			t.Cleanup(own.clear)
			part.try(suite{cluster: &own})
		})
	}
}

// addProduct puts the product's image together as deploy/Containerfile does.
func (c *cluster) addProduct() {
	c.t.Helper()
	files := registry.Program(c.t, need.Command(c.t, need.Cluster, "nft"))
	files = append(files, registry.File{Path: "/usr/sbin/nft", From: need.Command(c.t, need.Cluster, "nft")},
		registry.File{Path: "/usr/bin/portmap", From: kubebin.Need(c.t, "portmap")},
		registry.File{Path: "/var/run", Link: "/run"})
	for _, program := range []string{"polynic", "polynic-agent", "polynic-controller", "polynic-relay", "polynic-cni"} {
		files = append(files, registry.File{Path: "/usr/bin/" + program, From: harness.Bin(program)})
	}
	c.images.Add(registry.Image{Files: files, Entrypoint: []string{"/usr/bin/polynic"}}, "docker.io/library/polynic:devel")
}

// deploy applies the manifest and waits until the node is ready by it.
func (c *cluster) deploy() {
	c.t.Helper()
	begin := time.Now()
	s := suite{cluster: c}
	for _, line := range []string{
		"kubectl apply -f deploy/polynic.yaml\n", "kubectl -n polynic-system rollout status ds/polynic-agent\n",
		"kubectl -n polynic-system wait --for=condition=Ready pod -l app.kubernetes.io/component=relay\n",
	} {
		s.documented("install.md", line)
	}
	c.waitPods(1, "-n", "polynic-system", "-l", "app.kubernetes.io/component=controller")
	c.node.WaitReady()
	c.t.Logf("installed and ready after %s", time.Since(begin).Round(10*time.Millisecond))
}

const hostPortPod = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: web
    image: shell
    command: ["sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
    ports: [{containerPort: 8080, hostPort: 8888}]
`

// hostPort is portmap's, behind ours in the configuration that was installed.
func (s suite) hostPort() {
	s.Apply(hostPortPod)
	s.waitPods(1)
	controlplane.Eventually(s.t, time.Minute, func() error {
		_, err := s.fromOutside("http://" + kubenode.UplinkAddress + ":8888")
		return err
	})
	s.Kubectl("delete", "pod", "web", "--grace-period=1")
}

// refusedAtApply is what cannot be read, in a pod and in what makes pods; and a
// warning where the annotation has no effect.
func (s suite) refusedAtApply() {
	err := s.TryApply(shellPod("bad", "tap1/tun"))
	if err == nil || !strings.Contains(err.Error(), "the type is not known") {
		s.t.Errorf("a type that is not known: %v", err)
	}
	if err := s.TryApply(strings.Replace(deployment, "tap1/tap,", "tap1/tap/net/more,", 1)); err == nil {
		s.t.Error("a fourth part in a pod template is let through")
	}
	cmd := s.Command("create", "-f", "-")
	cmd.Stdin = strings.NewReader(strings.NewReplacer(
		"      annotations: {contivpp.io/custom-if:", "      annotations: {example.com/other:", // the template's
		"metadata: {name: many}", "metadata: {name: misplaced, annotations: {contivpp.io/custom-if: tap1/tap}}",
	).Replace(deployment))
	if out, err := cmd.CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "Warning: ") || !strings.Contains(string(out), "put it into spec.template.metadata.annotations") {
		s.t.Errorf("an annotation of a Deployment itself: %v: %s", err, out)
	}
	s.Kubectl("delete", "deployment", "misplaced")
}

// agentReplaced deletes the agent's pod while datagrams run: none is lost, and
// the next agent gives pods their interfaces.
func (s suite) agentReplaced() {
	s.Apply(shellPod("source", "tap1/tap") + shellPod("sink", "tap1/tap"))
	s.waitPods(2)
	flow := harness.UDP(s.t, s.netns("source"), s.netns("sink"), s.address("sink", "tap1"), 1000)
	s.Kubectl("delete", "pod", "-n", "polynic-system", "-l", "app.kubernetes.io/component=agent")
	s.Kubectl("rollout", "status", "-n", "polynic-system", "daemonset", "polynic-agent", "--timeout=2m")
	s.Apply(shellPod("late", "tap1/tap"))
	s.waitPods(1, "-l", "app=late")
	if r := flow.Stop(); r.Lost() > 0 {
		s.t.Errorf("%d of %d datagrams lost, longest gap %.0f ms", r.Lost(), r.Sent, r.LongestGapMS)
	}
	s.Kubectl("delete", "pod", "source", "sink", "late")
}

// uninstalled takes everything off the node, in the steps of docs/install.md.
func (s suite) uninstalled() {
	const installed, removal = "../../deploy/polynic.yaml", "../../deploy/uninstall.yaml"
	s.Kubectl("delete", "-f", installed, "--timeout=2m")
	s.Kubectl("apply", "-f", removal)
	s.Kubectl("rollout", "status", "-n", "polynic-system", "daemonset", "polynic-uninstall", "--timeout=2m")
	s.Kubectl("delete", "-f", removal, "--timeout=2m")
	s.expectRemoved()
}

// expectRemoved looks for what may be left of an installation, on the node and in
// the cluster.
func (s suite) expectRemoved() {
	s.t.Helper()
	controlplane.Eventually(s.t, time.Minute, func() error { // pods follow their DaemonSet
		left, err := s.TryKubectl("get", "daemonsets,pods,configmaps,serviceaccounts,clusterroles,clusterrolebindings,"+
			"validatingadmissionpolicies,validatingadmissionpolicybindings", "-A", "-l", "app.kubernetes.io/name=polynic", "-o", "name")
		if err == nil && left != "" {
			err = fmt.Errorf("in the cluster there is\n%s", left)
		}
		return err
	})
	for _, path := range []string{
		"/run/polynic", "/var/lib/polynic", "/var/lib/kubelet/device-plugins/polynic-memif.sock",
		filepath.Join(kubenode.PluginDir, "polynic-cni"), filepath.Join(kubenode.PluginConfDir, "10-polynic.conflist"),
	} {
		// A folder that a volume made may stay, empty.
		if left, err := filepath.Glob(path + "/*"); len(left) > 0 || err != nil {
			s.t.Errorf("%s has %v (%v)", path, left, err)
		}
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			s.t.Errorf("%s is left", path)
		}
	}
	for _, command := range []string{"ip -o link", "ip route show proto 80 table all", "nft list tables"} {
		words := strings.Fields(command)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			s.t.Errorf("%s: %v", command, err)
		}
		if strings.Contains(string(out), "polynic") || strings.Contains(command, "proto") && len(out) > 0 {
			s.t.Errorf("%s shows\n%s", command, out)
		}
	}
}

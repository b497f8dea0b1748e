// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/install"
	"github.com/polynic/polynic/test/etcd"
	"github.com/polynic/polynic/test/harness"
)

// TestUninstall takes polynic off a node in a container with the capabilities
// that deploy/uninstall.yaml has: not while a pod is there, unless it is forced;
// then nothing is left, in the pod and in etcd either, and a second time is no error,
// also where etcd is gone.
func TestUninstall(t *testing.T) {
	server := etcd.Start(t)
	n := harness.NewNode(t, func(c *config.Config) {
		c.Memif.KubeletDir = filepath.Dir(c.StateDir)
		c.Etcd.Endpoints = []string{server.Endpoint()}
	})
	n.Contain(capabilities(t, agentManifest), capabilities(t, relayManifest))
	node := install.Node{
		CNIBinDir: filepath.Join(n.Dir, "opt"), CNIConfDir: filepath.Join(n.Dir, "etc"),
		RunDir: n.Config.RunDir, StateDir: n.Config.StateDir,
	}
	polynic := build(t)
	before := stock(t, "")
	if out, err := exec.Command(polynic, append([]string{"install"}, flags(node)...)...).CombinedOutput(); err != nil {
		t.Fatalf("install: %v: %s", err, out)
	}
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	p := labelledPod(n, everything)
	pod := stock(t, p.Netns)
	p.MustAdd()
	n.Agent.Stop()
	n.Relay.Stop()

	c := harness.Container{
		Capabilities: capabilities(t, "uninstall.yaml"), Volumes: []string{n.Dir}, Sysctl: filepath.Join(n.Config.SysctlDir, "net"),
	}
	uninstall := func(more ...string) (string, error) {
		args := append(append([]string{"uninstall", "--config", filepath.Join(n.Dir, "agent.yaml")}, flags(node)...), more...)
		cmd, err := c.Command(polynic, args...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := uninstall(); err == nil || !strings.Contains(out, "default/"+p.Name) {
		t.Errorf("with a pod there: %v: %s", err, out)
	}
	if _, err := os.Stat(node.ConflistFile()); err != nil {
		t.Errorf("a refused uninstall took something away: %v", err)
	}
	client := etcd.Dial(t, server)
	if keys, _ := etcd.Everything(t, client); len(keys) < 2 {
		t.Errorf("of the pod there is in etcd %v", keys)
	}
	forced := func(says string) {
		t.Helper()
		if out, err := uninstall("--force"); err != nil || !strings.Contains(out, says) {
			t.Fatalf("forced: %v, want %q: %s", err, says, out)
		}
	}
	forced("\nkeys of the microservice label vnf1 removed from etcd\n")
	if keys, _ := etcd.Everything(t, client); len(keys) > 0 {
		t.Errorf("in etcd there are still %v", keys)
	}
	server.Stop()
	forced("stay in etcd: ")
	if diff := cmp.Diff(before, stock(t, "")); diff != "" {
		t.Errorf("the node (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(pod, stock(t, p.Netns)); diff != "" {
		t.Errorf("the pod (-before +after):\n%s", diff)
	}
	for _, dir := range []string{node.CNIBinDir, node.CNIConfDir} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("in %s: %v, %v", dir, left, err)
		}
	}
	for _, dir := range []string{node.RunDir, node.StateDir} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is there still: %v", dir, err)
		}
	}
}

// labelledPod is one that is told by etcd, for the label vnf1.
func labelledPod(n *harness.Node, annotation string) *harness.Pod {
	n.TB.Helper()
	manifest := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"labelled","namespace":"default","uid":"uid-labelled",`+
		`"annotations":{"contivpp.io/custom-if":%q,"contivpp.io/microservice-label":"vnf1"}},"spec":{"containers":[{"name":"main","image":"none"}]}}`, annotation)
	if err := os.WriteFile(filepath.Join(n.PodDir(), "labelled.json"), manifest, 0o600); err != nil {
		n.TB.Fatal(err)
	}
	return n.Sandbox("labelled", "uid-labelled")
}

func flags(n install.Node) []string {
	return []string{"--cni-bin-dir", n.CNIBinDir, "--cni-conf-dir", n.CNIConfDir, "--run-dir", n.RunDir, "--state-dir", n.StateDir}
}

// build makes the command line, with the other programs beside it.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "github.com/polynic/polynic/cmd/polynic")
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"polynic-agent", "polynic-relay", "polynic-cni"} {
		if err := os.Link(harness.Bin(name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "polynic")
}

// stock is what is in the test's own network namespace, or in a pod's.
func stock(t *testing.T, netns string) []string {
	t.Helper()
	script := "ip -br link; ip -br addr; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward"
	cmd := exec.Command("sh", "-c", script)
	if netns != "" {
		cmd = exec.Command("nsenter", "--net="+netns, "sh", "-c", script)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(out), "\n")
}

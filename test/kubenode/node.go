// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package kubenode is a Kubernetes node for tests: the real kubelet, containerd
// with runc, and kube-proxy, at their usual places. It needs a machine of its
// own, which package machine makes.
package kubenode

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/registry"
)

// Config is where a node belongs.
type Config struct {
	Plane    *controlplane.Plane
	Registry *registry.Registry
}

// Node is a node. Its parts can be stopped and started one by one; they end with
// the test.
type Node struct {
	Name    string
	Address netip.Addr
	Kubelet *harness.Process
	Runtime *harness.Process // containerd
	Proxy   *harness.Process

	t       testing.TB
	config  Config
	logs    string
	runtime harness.Program
	kubelet harness.Program
	proxy   harness.Program
}

// patience is how long a part may take to work.
const patience = 2 * time.Minute

// New writes the node's configuration. Nothing runs yet.
func New(t testing.TB, c Config) *Node {
	t.Helper()
	n := &Node{Name: "node1", Address: netip.MustParseAddr(UplinkAddress), t: t, config: c, logs: t.TempDir()}
	n.configureContainerd()
	n.configureKubelet()
	n.configureProxy()
	t.Cleanup(n.showLogs)
	return n
}

// Start starts containerd, kubelet and kube-proxy.
func (n *Node) Start() {
	n.t.Helper()
	n.StartRuntime()
	n.StartKubelet()
	n.StartProxy()
}

// StartRuntime starts containerd and waits until it answers.
func (n *Node) StartRuntime() {
	n.t.Helper()
	n.Runtime = n.runtime.Start(n.t)
	harness.Eventually(n.t, patience, func() error {
		_, err := os.Stat(RuntimeSocket)
		return err
	})
}

// StartKubelet starts kubelet.
func (n *Node) StartKubelet() {
	n.t.Helper()
	n.Kubelet = n.kubelet.Start(n.t)
}

// StartProxy starts kube-proxy and waits until the Service "kubernetes" works.
func (n *Node) StartProxy() {
	n.t.Helper()
	n.Proxy = n.proxy.Start(n.t)
	controlplane.Eventually(n.t, patience, func() error {
		for _, look := range []struct{ family, element string }{{"ip", controlplane.ServerService}, {"ip6", ""}} {
			out, err := exec.Command("nft", "list", "map", look.family, "kube-proxy", "service-ips").CombinedOutput()
			if err != nil || !strings.Contains(string(out), look.element) {
				return fmt.Errorf("kube-proxy has not made the service %s: %s", look.element, out)
			}
		}
		return nil
	})
}

// Ready says why the node is not ready, if it is not.
func (n *Node) Ready() error {
	out, err := n.config.Plane.TryKubectl("get", "node", n.Name,
		"-o", `jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.message}{end}`)
	if err == nil && !strings.HasPrefix(out, "True") {
		err = fmt.Errorf("%s is not ready: %s", n.Name, out)
	}
	return err
}

// WaitReady waits until the API server says that the node is ready.
func (n *Node) WaitReady() {
	n.t.Helper()
	controlplane.Eventually(n.t, patience, n.Ready)
}

func (n *Node) log(program string) string { return filepath.Join(n.logs, program+".log") }

func (n *Node) write(path, text string) {
	n.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// copy copies a program.
func (n *Node) copy(from, to string) {
	n.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		n.t.Fatal(err)
	}
}

// showLogs prints the ends of the logs where the test failed.
func (n *Node) showLogs() {
	if !n.t.Failed() {
		return
	}
	for _, program := range []string{"containerd", "kubelet", "kube-proxy"} {
		const shown = 8000
		text, err := os.ReadFile(n.log(program))
		if err != nil {
			text = []byte(err.Error())
		}
		n.t.Logf("%s (its end):\n%s", program, text[max(0, len(text)-shown):])
	}
}

// run runs a command that must succeed.
func run(t testing.TB, command string) {
	t.Helper()
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/kubenode"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/registry"
)

// shell is the image of a container that does nothing until it is told to.
const shell = "docker.io/library/shell:latest"

// cluster is a cluster of one node.
type cluster struct {
	*controlplane.Plane
	t       *testing.T
	node    *kubenode.Node
	images  *registry.Registry
	outside *netns.Handle
}

// startCluster starts one; its node has no network plugin, and so is not ready.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	need.Root(t)
	c := &cluster{t: t, outside: kubenode.Uplink(t), images: registry.Start(t)}
	c.addImages()
	begin := time.Now()
	c.Plane = controlplane.Start(t, controlplane.Config{Address: netip.MustParseAddr(kubenode.UplinkAddress)})
	c.StartControllers()
	c.node = kubenode.New(t, kubenode.Config{Plane: c.Plane, Registry: c.images})
	c.node.Start()
	t.Cleanup(c.show)
	t.Logf("the control plane started in %s", time.Since(begin).Round(time.Millisecond))
	return c
}

// addImages puts together what pods run.
func (c *cluster) addImages() {
	c.t.Helper()
	tools := registry.Program(c.t, need.Command(c.t, need.Cluster, "ip"), need.Command(c.t, need.Cluster, "curl"))
	busybox := append(tools, registry.Busybox(c.t)...)
	c.images.Add(registry.Image{Files: busybox, Entrypoint: []string{"/bin/sleep", "infinity"}}, kubenode.PauseImage)
	waiting := []string{"/bin/sh", "-c", "trap exit TERM; sleep infinity & wait"}
	c.images.Add(registry.Image{Files: busybox, Entrypoint: waiting}, shell, "docker.io/library/nginx:latest")
	c.images.Add(registry.Image{Files: append(testpmdFiles(c.t), busybox...), Entrypoint: waiting},
		"docker.io/ligato/vpp-agent:v2.1.1", "docker.io/library/debian:bookworm")
	c.images.Add(registry.Image{Files: append(vnfagentFiles(c.t), busybox...), Entrypoint: []string{"/usr/bin/vnfagent"}},
		"docker.io/ligato/vpp-agent:latest")
	etcd := append(registry.Program(c.t, need.Command(c.t, need.Cluster, "etcdctl")), registry.File{Path: "/usr/bin/etcd", From: kubebin.Need(c.t, "etcd")})
	c.images.Add(registry.Image{Files: etcd}, "docker.io/library/etcd:v3.6.8")
}

// testpmdFiles are DPDK's test application with what it loads when it runs.
func testpmdFiles(t *testing.T) []registry.File {
	t.Helper()
	program := need.Command(t, need.Cluster, "dpdk-testpmd")
	var drivers []string
	for _, name := range []string{"net_memif", "mempool_ring", "bus_vdev"} {
		found, err := filepath.Glob("/usr/lib/*/dpdk/pmds-*/librte_" + name + ".so*")
		if err != nil {
			t.Fatal(err)
		}
		drivers = append(drivers, found...)
	}
	return registry.Program(t, append(drivers, program)...)
}

// waitPods waits until all pods of a selector, and so many, are ready.
func (c *cluster) waitPods(count int, selector ...string) {
	c.t.Helper()
	controlplane.Eventually(c.t, 2*time.Minute, func() error {
		out, err := c.TryKubectl(append([]string{
			"get", "pods", "-o",
			`jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`,
		}, selector...)...)
		if ready := strings.Count(out, " True\n"); err == nil && (ready != count || strings.Count(out, "\n") != count) {
			err = fmt.Errorf("want %d pods, have:\n%s", count, out)
		}
		return err
	})
}

// exec runs a command in a pod's first container, as a user would.
func (c *cluster) exec(pod string, command ...string) string {
	c.t.Helper()
	return c.Kubectl(append([]string{"exec", pod, "--"}, command...)...)
}

// clear takes away what a part that failed left to the next one.
func (c *cluster) clear() {
	if c.t.Failed() {
		_, _ = c.TryKubectl("delete", "deployments,pods", "--all", "--grace-period=1", "--timeout=30s")
	}
}

// show prints the state of the cluster where the test failed.
func (c *cluster) show() {
	if !c.t.Failed() {
		return
	}
	for _, args := range [][]string{
		{"get", "nodes,pods,services", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"describe", "nodes"},
		{"logs", "-n", "polynic-system", "-l", "app.kubernetes.io/name=polynic", "--tail=60", "--prefix"},
	} {
		out, err := c.TryKubectl(args...)
		if err != nil {
			out = err.Error()
		}
		c.t.Logf("kubectl %s:\n%s", strings.Join(args, " "), out)
	}
}

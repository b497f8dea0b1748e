// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubenode"
)

// networkStatus is the output format that shows the annotation of this name.
const networkStatus = `jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}`

// The interfaces are those that the document shows, and the node answers on
// each.
func (s suite) multiInterface() {
	s.Apply(manifest(s.t, "multi-if-pod.yaml"))
	s.waitPods(1)
	out := s.exec("multi-if-pod", "ip", "addr")
	for _, line := range []string{
		`(?m)^\d+: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536`,
		`(?m)^\d+: eth0@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
		`(?m)^\d+: veth1@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
		`(?m)^\d+: tap1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			s.t.Errorf("no %s in\n%s", line, out)
		}
	}
	if links := strings.Count(out, "link/"); links != 4 {
		s.t.Errorf("%d interfaces, want 4:\n%s", links, out)
	}
	for _, name := range []string{"eth0", "veth1", "tap1"} {
		s.exec("multi-if-pod", "ping", "-c", "1", "-W", "2", "-I", name, kubenode.UplinkAddress)
	}
	controlplane.Eventually(s.t, harness.Patience(5*time.Second), func() error {
		status, err := s.TryKubectl("get", "pod", "multi-if-pod", "-o", networkStatus)
		for _, want := range []string{`"interface":"eth0"`, `"interface":"tap1"`, `"interface":"veth1"`, s.address("multi-if-pod", "tap1")} {
			if err == nil && !strings.Contains(strings.ReplaceAll(status, `": "`, `":"`), want) {
				err = fmt.Errorf("network-status has no %s: %s", want, status)
			}
		}
		return err
	})
	s.Kubectl("delete", "pod", "multi-if-pod")
}

// testpmd answers pings at the memif whose socket and secret it was given.
const testpmd = `exec dpdk-testpmd --no-huge --no-pci --no-telemetry --no-shconf -m 96 --lcores '0@1,1@1' \
	--vdev=net_memif0,role=client,id=0,socket-abstract=no,socket=$MEMIF_SOCKET,secret=$MEMIF_SECRET \
	-- --total-num-mbufs=8192 --forward-mode=icmpecho --stats-period=3600`

// The environment is what the document shows, and a DPDK application gets on with
// it.
func (s suite) memif() {
	s.Apply(manifest(s.t, "vnf-pod.yaml"))
	s.Apply(shellPod("ping-pod", ""))
	s.waitPods(2)
	lines := slices.Sorted(strings.Lines(s.exec("vnf-pod", "sh", "-c", "env | grep MEMIF")))
	if out := strings.Join(lines, ""); !regexp.MustCompile(`^MEMIF_SECRET=[0-9a-z]{20}\nMEMIF_SOCKET=/run/vpp/memif\.sock\n$`).MatchString(out) {
		s.t.Errorf("the environment of the pod:\n%s", out)
	}
	s.expectPings(s.address("vnf-pod", "memif1"), "vnf-pod", "--", "sh", "-c", testpmd)
	s.Kubectl("delete", "pod", "vnf-pod", "ping-pod")
}

// background runs a command until stop is called; what it said is shown if the
// test failed.
func (s suite) background(cmd *exec.Cmd) (stop func()) {
	s.t.Helper()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = stdin.(io.Closer).Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", cmd, said.String())
		}
	}
	s.t.Cleanup(stop)
	return stop
}

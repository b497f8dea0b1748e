// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubenode"
)

// restarts kills every part of a node in turn, while datagrams run between two
// pods through veth, tap and relay. None is lost but where the relay is killed,
// which may cost half a second; and pods come and go afterwards.
func (s suite) restarts() {
	s.Apply(shellPod("source", "tap1/tap") + shellPod("sink", "tap1/tap, veth1/veth"))
	s.waitPods(2)
	for _, part := range []struct {
		name    string
		restart func()
		gap     time.Duration // the longest that is allowed; 0: nothing is lost
	}{
		{"kubelet", func() { s.node.Kubelet.Kill(); s.node.StartKubelet() }, 0},
		{"containerd", func() { s.node.Runtime.Kill(); s.node.StartRuntime() }, 0},
		{"agent", s.agent.RestartAgent, 0},
		{"API server", func() { s.StopServer(); s.StartServer() }, 0},
		{"relay", s.agent.KillRelayWorker, 500 * time.Millisecond},
	} {
		s.t.Run(part.name, func(t *testing.T) {
			part.gap = harness.Patience(part.gap)
			s.expectTraffic(t, part.restart, part.gap)
		})
	}
	s.Kubectl("delete", "pod", "source", "sink")
}

// expectTraffic does something while datagrams run to each type of interface, and
// then has a pod come and go.
func (s suite) expectTraffic(t *testing.T, do func(), gap time.Duration) {
	t.Helper()
	const perSecond = 1000
	from, to := s.netns("source"), s.netns("sink")
	flows := map[string]*harness.Flow{}
	for _, name := range []string{"eth0", "tap1", "veth1"} {
		flows[name] = harness.UDP(t, from, to, s.address("sink", name), perSecond)
	}
	do()
	s.node.WaitReady()
	s.Apply(shellPod("late", "tap1/tap, veth1/veth"))
	s.waitPods(1, "-l", "app=late")
	s.exec("late", "ping", "-c", "1", "-W", "2", s.address("sink", "tap1"))
	s.Kubectl("delete", "pod", "late")
	for name, flow := range flows {
		r := flow.Stop()
		said := fmt.Sprintf("%s: %d of %d datagrams lost, longest gap %.0f ms", name, r.Lost(), r.Sent, r.LongestGapMS)
		t.Log(said)
		if through := name == "tap1" && gap > 0; !through && r.Lost() > 0 ||
			through && r.LongestGapMS > float64(gap.Milliseconds()) {
			t.Error(said)
		}
	}
}

// sandboxAnew has a pod's sandbox made anew by kubelet while the API server is away
// and the agent has just started: the pod gets what it had.
func (s suite) sandboxAnew() {
	s.Apply(shellPod("again", "tap1/tap, veth1/veth"))
	s.waitPods(1)
	before := s.interfaces()
	processes, err := exec.Command("ip", "netns", "pids", filepath.Base(s.netns("again"))).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	s.StopServer()
	s.agent.RestartAgent()
	if out, err := exec.Command("kill", append([]string{"-9"}, strings.Fields(string(processes))...)...).CombinedOutput(); err != nil {
		s.t.Errorf("kill: %v: %s", err, out)
	}
	begin := time.Now()
	made := controlplane.Poll(time.Minute, func() error {
		now := s.interfaces()
		if len(now) != 3 || now[0].MAC == before[0].MAC || now[0].State != inspect.StateUp {
			return fmt.Errorf("interfaces are\n%+v, before\n%+v", now, before)
		}
		return nil
	})
	s.t.Logf("the pod has another sandbox after %s", time.Since(begin).Round(10*time.Millisecond))
	s.StartServer()
	if made != nil {
		s.t.Fatal(made)
	}
	s.waitPods(1)
	for _, name := range []string{"eth0", "tap1", "veth1"} {
		s.exec("again", "ping", "-c", "1", "-W", "2", "-I", name, kubenode.UplinkAddress)
	}
	s.Kubectl("delete", "pod", "again")
}

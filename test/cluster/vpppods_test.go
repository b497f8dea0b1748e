// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubenode"
)

// vppPods are two that have every type of interface, each with an application at
// its memif.
func vppPods() string {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {contivpp.io/custom-if: "tap1/tap, veth1/veth, memif1/memif"}}
spec:
  containers: [{name: echo, image: memif-echo, resources: {limits: {contivpp.io/memif: 1}}}]
---
`
	return fmt.Sprintf(pod, "one") + fmt.Sprintf(pod, "two")
}

// kernelInterfaces are those that a pod's kernel has; of its memif an application is
// the other end.
func kernelInterfaces() []string { return []string{"eth0", "tap1", "veth1"} }

// everyInterface has two pods reach each other, the node, and the outside from
// each interface, in both families, and the node reach them.
func (s vppSuite) everyInterface() {
	s.Apply(vppPods())
	s.waitPods(2)
	out := s.exec("one", "ip", "addr")
	for _, line := range []string{
		`(?m)^\d+: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
		`(?m)^\d+: tap1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
		`(?m)^\d+: veth1@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			s.t.Errorf("no %s in\n%s", line, out)
		}
	}
	s.expectTapsOf()
	s.expectReach()
	for _, address := range append(s.addresses("one"), s.addresses("two")...) {
		s.eventually("from the node", func() error {
			if out, err := exec.Command("ping", "-c", "1", "-W", "2", address).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	s.Kubectl("delete", "pod", "one", "two", "--grace-period=1")
}

// expectTapsOf looks who has the taps: VPP in the overlay vpp-taps, where the kernel
// lets it, and else the relay, which joins it by memif.
func (s vppSuite) expectTapsOf() {
	s.t.Helper()
	want := "memif"
	if _, err := os.Stat("/dev/vhost-net"); err == nil && strings.HasSuffix(s.overlay, "-taps") {
		want = "tap"
	}
	for _, i := range s.interfaces() {
		if (i.Name == "eth0" || i.Name == "tap1") && !strings.HasPrefix(i.Port, want) {
			s.t.Errorf("%s of %s is %s in VPP, want %s", i.Name, i.Pod, i.Port, want)
		}
	}
}

// addresses are all of a pod, of both families.
func (s vppSuite) addresses(pod string) []string {
	s.t.Helper()
	var all []string
	for _, i := range s.interfaces() {
		if i.Pod == pod {
			for _, ip := range i.IPs {
				all = append(all, ip.Addr().String())
			}
		}
	}
	if len(all) != 8 {
		s.t.Fatalf("%s has the addresses %v, want two at each of four interfaces", pod, all)
	}
	return all
}

// expectReach has each of the pods "one" and "two" ping all addresses of the other,
// the node and the outside from each interface of its kernel.
func (s vppSuite) expectReach() {
	s.t.Helper()
	s.eventually("pings", s.reach)
}

func (s vppSuite) reach() error {
	beyond := []string{kubenode.UplinkAddress, kubenode.UplinkAddress6, kubenode.OutsideAddress, kubenode.OutsideAddress6}
	for pod, peer := range map[string]string{"one": "two", "two": "one"} {
		script := fmt.Sprintf(`for to in %s; do for from in %s; do
			ping -c 1 -W 2 -I $from $to >/dev/null 2>&1 || echo "no answer to $from from $to"
		done; done`, strings.Join(append(s.addresses(peer), beyond...), " "), strings.Join(kernelInterfaces(), " "))
		out, err := s.TryKubectl("exec", pod, "--", "sh", "-c", script)
		if err == nil && out != "" {
			err = fmt.Errorf("in the pod %s:\n%s", pod, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// agentReplacedBesideVPP deletes the agent's pod while datagrams run to each type
// of interface: none is lost, VPP does not notice, and the next agent gives pods
// their interfaces.
func (s vppSuite) agentReplacedBesideVPP() {
	s.Apply(shellPod("source", "") + shellPod("sink", "tap1/tap, veth1/veth"))
	s.waitPods(2)
	before, ports := s.vppPod(), s.vppctl("show", "interface", "address")
	flows := map[string]*harness.Flow{}
	for _, name := range kernelInterfaces() {
		const perSecond = 200
		flows[name] = harness.UDP(s.t, s.netns("source"), s.netns("sink"), s.address("sink", name), perSecond)
	}
	s.Kubectl("delete", "pod", "-n", "polynic-system", "-l", "app.kubernetes.io/component=agent")
	s.Kubectl("rollout", "status", "-n", "polynic-system", "daemonset", "polynic-agent", "--timeout=2m")
	if after := s.vppctl("show", "interface", "address"); after != ports {
		s.t.Errorf("VPP's interfaces with the next agent are\n%s\nbefore\n%s", after, ports)
	}
	s.Apply(shellPod("late", "tap1/tap, veth1/veth"))
	s.waitPods(1, "-l", "app=late")
	for name, flow := range flows {
		r := flow.Stop()
		said := fmt.Sprintf("%s: %d of %d datagrams lost, longest gap %.0f ms", name, r.Lost(), r.Sent, r.LongestGapMS)
		s.t.Log(said)
		if r.Lost() > 0 {
			s.t.Error(said)
		}
	}
	if after := s.vppPod(); after != before {
		s.t.Errorf("VPP is %s, was %s", after, before)
	}
	s.Kubectl("delete", "pod", "source", "sink", "late")
}

// vppPod names VPP's pod, its container, and how often that was started again.
func (s vppSuite) vppPod() string {
	s.t.Helper()
	return s.Kubectl("get", "pod", "-n", "polynic-system", "-l", "app.kubernetes.io/component=vpp", "-o",
		"jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].containerID} {.items[*].status.containerStatuses[*].restartCount}")
}

// replaced deletes the pod of a component through which packets pass, VPP or the relay:
// the next has everything, with the same names, MACs, addresses and memifs, and
// applications at memifs connect by themselves.
func (s vppSuite) replaced(component string) {
	selector := "app.kubernetes.io/component=" + component
	s.Apply(vppPods())
	s.waitPods(2)
	s.expectReach()
	before := s.known()
	begin := time.Now()
	s.Kubectl("delete", "pod", "-n", "polynic-system", "-l", selector)
	gone := time.Since(begin)
	answers := s.answers("one", s.addresses("two"))
	s.t.Logf("the pod of %s was gone after %s; since it was deleted the other pod's %v answer again after %v",
		component, gone.Round(10*time.Millisecond), s.addresses("two"), answers.since(begin))
	s.waitPods(1, "-n", "polynic-system", "-l", selector)
	s.expectReach()
	if diff := cmp.Diff(before, s.known()); diff != "" {
		s.t.Errorf("interfaces (-before +after):\n%s", diff)
	}
	s.Apply(shellPod("late", "tap1/tap, veth1/veth"))
	s.waitPods(1, "-l", "app=late")
	s.Kubectl("delete", "pod", "one", "two", "late", "--grace-period=1")
}

// answers is when each of several addresses answered.
type answers []time.Time

func (a answers) since(begin time.Time) []time.Duration {
	var after []time.Duration
	for _, at := range a {
		after = append(after, at.Sub(begin).Round(10*time.Millisecond))
	}
	return after
}

// answers has a pod ping addresses until each answers.
func (s vppSuite) answers(pod string, addresses []string) answers {
	s.t.Helper()
	from := s.netns(pod)
	at := make(answers, len(addresses))
	var asking sync.WaitGroup
	for n, address := range addresses {
		asking.Go(func() {
			err := controlplane.Poll(time.Minute, func() error {
				return exec.Command("nsenter", "--net="+from, "ping", "-c", "1", "-W", "1", address).Run()
			})
			if at[n] = time.Now(); err != nil {
				s.t.Errorf("%s does not answer: %v", address, err)
			}
		})
	}
	asking.Wait()
	return at
}

// known is what pods know of their interfaces.
func (s vppSuite) known() []string {
	s.t.Helper()
	var list []string
	for _, i := range s.interfaces() {
		if i.State != inspect.StateUp {
			s.t.Errorf("%s of %s is %s: %s", i.Name, i.Pod, i.State, i.Reason)
		}
		line := fmt.Sprintf("%s %s %s %s %v %d", i.Pod, i.Name, i.Type, i.MAC, i.IPs, i.MTU)
		if i.Memif != nil {
			line += fmt.Sprintf(" memif %d", i.Memif.ID)
		}
		list = append(list, line)
	}
	return list
}

// nodeState is what of a node's network polynic may alter, as commands print it.
type nodeState map[string]string

// readNode reads it.
func readNode(t *testing.T) nodeState {
	t.Helper()
	state := nodeState{}
	for _, command := range []string{
		"ip -o link", "ip route show table all", "ip -6 route show table all", "ip rule", "ip -6 rule", "nft list tables",
		"cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
	} {
		words := strings.Fields(command)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		state[command] = string(out)
	}
	return state
}

// uninstalledWithVPP takes everything off the node, in the steps of docs/install.md,
// while a pod runs: the node is as it was, and the pod without network.
func (s vppSuite) uninstalledWithVPP() {
	s.Apply(shellPod("stays", "tap1/tap, veth1/veth"))
	s.waitPods(1)
	pod := s.netns("stays")
	const removal = "../../deploy/uninstall.yaml"
	s.Kubectl("delete", "-k", s.overlay, "--timeout=2m")
	s.Kubectl("apply", "-f", removal)
	s.Kubectl("rollout", "status", "-n", "polynic-system", "daemonset", "polynic-uninstall", "--timeout=2m")
	s.Kubectl("delete", "-f", removal, "--timeout=2m")
	s.expectRemoved()
	if diff := cmp.Diff(s.before, readNode(s.t)); diff != "" {
		s.t.Errorf("the node (-before +after):\n%s", diff)
	}
	out, err := exec.Command("nsenter", "--net="+pod, "ip", "-o", "link").CombinedOutput()
	if err != nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), ": lo: ") {
		s.t.Errorf("links of a pod that runs: %v\n%s", err, out)
	}
}

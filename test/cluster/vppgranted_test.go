// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// views are the commands of docs/vpp.md for whoever looks at a cluster.
func (s vppSuite) views() {
	s.Apply(shellPod("seen", "tap1/tap, veth1/veth"))
	s.waitPods(1)
	s.exec("seen", "ping", "-c", "3", "-W", "2", s.address("seen", "tap1"))
	tap, veth := s.port("tap1"), s.port("veth1")
	for command, want := range map[string]string{
		"kubectl -n polynic-system rollout status ds/polynic-agent":                                                           "successfully rolled out",
		"kubectl -n polynic-system wait --for=condition=Ready pod -l 'app.kubernetes.io/component in (vpp, relay)'":           "condition met",
		"kubectl -n polynic-system exec ds/polynic-vpp -- vppctl -s /run/polynic/vpp/cli.sock show interface":                 veth,
		"kubectl -n polynic-system exec ds/polynic-agent -- polynic get interfaces -o wide --agent /run/polynic/inspect.sock": tap,
		"kubectl -n polynic-system exec ds/polynic-agent -- polynic get services --agent /run/polynic/inspect.sock":           "kubernetes",
		"kubectl -n polynic-system exec ds/polynic-agent -- polynic vppctl --socket /run/polynic/vpp/cli.sock -- show memif":  tap,
	} {
		if out := s.documented("vpp.md", command); !strings.Contains(out, want) {
			s.t.Errorf("%s\n%s\nwant %s", command, out, want)
		}
	}
	// On the node itself.
	out, err := exec.Command(harness.Bin("polynic"), "preflight", "--dataplane", "vpp", "--vpp-cli", "/run/polynic/vpp/cli.sock").CombinedOutput()
	for _, want := range []string{
		`ok +VPP +vpp v2\d\.\d\d-release .* answers at /run/polynic/vpp/cli\.sock`, `ok +VPP's plugins +memif, af_packet, urpf, cnat are loaded`, `ok +taps +`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			s.t.Errorf("preflight, %v, says\n%s\nwant %s", err, out, want)
		}
	}
	s.Kubectl("delete", "pod", "seen", "--grace-period=1")
}

// port is the name of an interface of the pod "seen" in VPP.
func (s vppSuite) port(name string) string {
	s.t.Helper()
	for _, i := range s.interfaces() {
		if i.Pod == "seen" && i.Name == name {
			return i.Port
		}
	}
	s.t.Fatalf("the pod has no %s", name)
	return ""
}

// granted looks what the processes of VPP and of the agent have once everything was
// done: the capabilities that the manifest names, and no more; and memory enough.
func (s vppSuite) granted() {
	vpp, agent := processOf(s.t, "vpp"), processOf(s.t, "polynic-agent")
	var want uint64
	names := strings.FieldsSeq(s.Kubectl("get", "daemonset", "-n", "polynic-system", "polynic-vpp", "-o",
		"jsonpath={.spec.template.spec.containers[0].securityContext.capabilities.add[*]}"))
	for name := range names {
		bit, ok := map[string]int{
			"NET_ADMIN": unix.CAP_NET_ADMIN, "NET_RAW": unix.CAP_NET_RAW, "IPC_LOCK": unix.CAP_IPC_LOCK, "SYS_NICE": unix.CAP_SYS_NICE,
		}[name]
		if !ok {
			s.t.Errorf("capability %s is new; is it needed?", name)
		}
		want |= 1 << bit
	}
	for _, line := range []string{
		fmt.Sprintf("CapPrm:\t%016x", want), fmt.Sprintf("CapEff:\t%016x", want), fmt.Sprintf("CapBnd:\t%016x", want), "NoNewPrivs:\t1", "Seccomp:\t2",
	} {
		if status := readFile(s.t, vpp+"/status"); !strings.Contains(status, line+"\n") {
			s.t.Errorf("VPP's process has no %q:\n%s", line, status)
		}
	}
	s.expectMemory("VPP", vpp, 512<<20) // what it requests: it has no limit
	s.expectMemory("agent", agent, memoryGroup(s.t, agent).value(s.t, "memory.limit_in_bytes", ""))
	restarts := s.Kubectl("get", "pods", "-n", "polynic-system", "-o", `jsonpath={range .items[*].status.containerStatuses[*]}{.restartCount} {end}`)
	if strings.Trim(restarts, "0 ") != "" {
		s.t.Errorf("containers were started again: %s times", restarts)
	}
}

// processOf is the folder in /proc of the one process that runs a program.
func processOf(t *testing.T, program string) string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil && filepath.Base(path) == program {
			found = append(found, filepath.Dir(link))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%v run %s, want one", found, program)
	}
	return found[0]
}

// memoryGroup is the folder of the control group that limits a process's memory.
func memoryGroup(t *testing.T, process string) memoryLimit {
	t.Helper()
	for line := range strings.Lines(readFile(t, process+"/cgroup")) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 && fields[1] == "memory" {
			return memoryLimit(filepath.Join(memoryGroups, fields[2]))
		}
	}
	t.Fatalf("%s is in no control group for memory", process)
	return ""
}

// expectMemory wants a process, and those beside it in its container, to have had no
// more memory than so much, and none to have been killed for want of it.
func (s vppSuite) expectMemory(who, process string, most int) {
	s.t.Helper()
	group := memoryGroup(s.t, process)
	had := group.value(s.t, "memory.max_usage_in_bytes", "")
	s.t.Logf("%s had %.0f MiB at most, of %.0f", who, figure.MiB(had), figure.MiB(most))
	if kills := group.value(s.t, "memory.oom_control", "oom_kill "); had > most || kills > 0 {
		s.t.Errorf("%s had %d bytes, want %d at most; %d processes were killed", who, had, most, kills)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

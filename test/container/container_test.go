// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package container_test runs agent and relay as their DaemonSets do: not
// privileged, with the capabilities that the manifests name and no more.
package container_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// capabilities are what a manifest gives the first container, or the init
// container where there is one that has any, of its DaemonSet.
func capabilities(t *testing.T, manifest string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", manifest))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var set appsv1.DaemonSet
		if err := yaml.Unmarshal([]byte(document), &set); err != nil {
			t.Fatalf("%s: %v", manifest, err)
		}
		pod := set.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			for _, name := range c.SecurityContext.Capabilities.Add {
				names = append(names, string(name))
			}
		}
	}
	return names
}

// everything is an annotation with every kind of interface that needs no kubelet.
const everything = "tap1/tap, veth1/veth, tap2/tap/stub, veth2/veth/stub"

// What the manifests give is enough: a pod gets all its interfaces, also where
// the runtime switched IPv6 off; another agent and another relay take over; and
// all of it goes again.
func TestCapabilitiesSuffice(t *testing.T) {
	n := harness.NewNode(t, nil)
	n.Contain(capabilities(t, agentManifest), capabilities(t, relayManifest))
	forwardingOff(t)
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()

	first, second := n.Pod(everything), n.Pod("tap1/tap")
	if err := first.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"); err != nil {
		t.Fatal(err)
	}
	result, other := first.MustAdd(), second.MustAdd()
	pings := func() {
		t.Helper()
		for _, name := range []string{"eth0", "tap1", "veth1"} {
			for family := range 2 {
				harness.Eventually(t, 20*time.Second, func() error {
					return first.Ping(harness.IP(result, name, family), harness.IP(other, "tap1", family))
				})
			}
		}
	}
	pings()
	n.RestartAgent()
	n.KillRelayWorker()
	pings()
	if err := first.Check(); err != nil {
		t.Error(err)
	}
	third := n.Pod(everything) // the stub network is taken up as it was pinned
	third.MustAdd()
	for _, p := range []*harness.Pod{first, second, third} {
		p.MustDel()
	}
	n.Remove()
	if on := forwarding(t); on != "0" {
		t.Errorf("forwarding is %s after all was removed, want 0 as before", on)
	}
}

const forwardingSetting = "/proc/sys/net/ipv4/ip_forward"

func forwardingOff(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(forwardingSetting, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
}

func forwarding(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(forwardingSetting)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:1])
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"errors"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
)

// expectWired fails unless every interface of the pod with an address answers
// and is answered, in both families.
func expectWired(t *testing.T, pod *harness.Pod, result *types100.Result) {
	t.Helper()
	var gateways []string // those of eth0 come first, and are everybody's
	for _, ip := range result.IPs {
		if ip.Gateway != nil {
			gateways = append(gateways, ip.Gateway.String())
		}
	}
	if len(gateways) != 2 {
		t.Errorf("%s has the gateways %v", pod.Name, gateways)
	}
	for _, i := range result.Interfaces {
		if i.SocketPath != "" {
			continue // a memif is the application's: ExpectEcho
		}
		for n, gateway := range gateways {
			if harness.IP(result, i.Name, n) == "" {
				continue
			}
			if err := pod.Ping(i.Name, gateway); err != nil {
				t.Error(err)
			}
		}
	}
	if err := pod.Check(); err != nil {
		t.Errorf("CHECK of %s: %v", pod.Name, err)
	}
}

// expectEmptied fails unless the pods' namespaces are gone, or are like a new
// one.
func expectEmptied(t *testing.T, n *harness.Node, pods ...*harness.Pod) {
	t.Helper()
	fresh := n.Sandbox("fresh", "")
	defer fresh.Destroy()
	like, err := fresh.Look()
	if err != nil {
		t.Error(err)
	}
	for _, p := range pods {
		left, err := p.Look()
		if errors.Is(err, netns.ErrGone) {
			continue
		}
		if diff := cmp.Diff(strings.Split(string(like), "\n"), strings.Split(string(left), "\n")); diff != "" || err != nil {
			t.Errorf("left in %s: %v (-new namespace +this one):\n%s", p.Name, err, diff)
		}
	}
}

func TestAddWiresAndDelCleans(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	a, b := n.Pod(mixed), n.Pod("")
	second := b.MustAdd()
	without := n.OpenFiles()
	first := a.MustAdd()
	expectWired(t, a, first)
	expectWired(t, b, second)
	for _, from := range []string{"eth0", "tap1", "veth1", "tap3"} {
		for n := range 2 {
			if err := a.Ping(from, harness.IP(second, "eth0", n)); err != nil {
				t.Error(err)
			}
			if err := b.Ping("eth0", harness.IP(first, from, n)); err != nil {
				t.Error(err)
			}
		}
	}
	with := n.OpenFiles()
	a.MustDel()
	// The agent's own are the reap's by now.
	if now := n.OpenFiles(); with.Taps <= without.Taps || now.Taps != without.Taps || now.RelayNamespaces > without.RelayNamespaces {
		t.Errorf("open files: %+v without the pod, %+v with it, %+v right after DEL", without, with, now)
	}
	for _, from := range []string{"eth0", "tap1", "veth1"} {
		if a.Ping(from, "10.1.1.1") == nil {
			t.Errorf("traffic of %s passes after DEL", from)
		}
	}
	b.MustDel()
	n.ExpectClean(baseline)
	expectEmptied(t, n, a, b)
}

// TestMainInterfaceOfAnotherName: the main interface has the name that the
// runtime gives it, from ADD to DEL, and with the next agent too. The default
// route is eth0's, whoever made that; the interfaces answer without it.
func TestMainInterfaceOfAnotherName(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	pod, other := n.Pod(mixed), n.Pod("")
	pod.IfName = "net1"
	result, others := pod.MustAdd(), other.MustAdd()
	if harness.IP(result, "net1", 1) == "" || harness.IP(result, "eth0", 0) != "" {
		t.Errorf("ADD answers with %v", result)
	}
	if err := pod.Run("ip", "link", "show", "eth0"); err == nil {
		t.Error("the pod has an eth0")
	}
	for range 2 {
		if err := pod.Check(); err != nil {
			t.Error(err)
		}
		for n := range 2 {
			for _, name := range []string{"net1", "tap1", "veth1", "tap3"} {
				if err := pod.Ping(name, harness.IP(others, "eth0", n)); err != nil {
					t.Error(err)
				}
				if err := other.Ping("eth0", harness.IP(result, name, n)); err != nil {
					t.Error(err)
				}
			}
		}
		n.RestartAgent()
	}
	if again := pod.MustAdd(); harness.IP(again, "net1", 0) != harness.IP(result, "net1", 0) {
		t.Errorf("a repeated ADD answers with %v", again)
	}
	pod.MustDel()
	other.MustDel()
	n.ExpectClean(baseline)
	expectEmptied(t, n, pod)
}

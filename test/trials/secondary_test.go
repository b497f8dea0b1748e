// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/test/harness"
)

// addAs is ADD for another interface than eth0, as a plugin that calls others
// asks for it.
func addAs(t *testing.T, n *harness.Node, p *harness.Pod, name string) *types100.Result {
	t.Helper()
	rt := p.Runtime()
	rt.IfName = name
	result, err := n.CNI().AddNetworkList(context.Background(), p.List, rt)
	if err != nil {
		t.Fatalf("ADD of %s: %v", name, err)
	}
	got, err := types100.GetResult(result)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// names are those of a result's interfaces in the pod, and whether any address
// comes with a gateway or the result with a route.
func names(r *types100.Result) (inPod []string, leads bool) {
	for _, i := range r.Interfaces {
		if i.Sandbox != "" {
			inPod = append(inPod, i.Name)
		}
	}
	for _, ip := range r.IPs {
		leads = leads || ip.Gateway != nil
	}
	return inPod, leads || len(r.Routes) > 0
}

// TestSecondary: the custom interfaces belong to the first attachment of a
// sandbox; others have one interface each, and none but eth0 a default route.
// Every address answers, also after the agent lost its journal, and each DEL
// takes its own.
func TestSecondary(t *testing.T) {
	for name, first := range map[string]string{"beside eth0 of ours": "eth0", "beside eth0 of another plugin": "net0"} {
		t.Run(name, func(t *testing.T) {
			n := harness.Start(t, nil)
			p, peer := n.Pod("tap1/tap, veth1/veth"), n.Pod("")
			before, err := p.Look()
			if err != nil {
				t.Fatal(err)
			}
			other := peer.MustAdd()
			results := map[string]*types100.Result{}
			for _, name := range []string{first, "net1", "net2"} {
				results[name] = addAs(t, n, p, name)
				want := []string{name}
				if name == first {
					want = append(want, "tap1", "veth1")
				}
				got, leads := names(results[name])
				if diff := cmp.Diff(want, got); diff != "" || leads != (name == "eth0") {
					t.Errorf("%s (-want +got):\n%s; a gateway: %v", name, diff, leads)
				}
			}
			answers := func() {
				t.Helper()
				for name, result := range results {
					inPod, _ := names(result)
					for _, i := range inPod {
						for family := range 2 {
							if err := p.Ping(harness.IP(result, i, family), harness.IP(other, "eth0", family)); err != nil {
								t.Errorf("%s of %s: %v", i, name, err)
							}
						}
					}
				}
			}
			answers()
			routes, err := p.Output("ip", "route", "show", "default")
			if err != nil || (routes != "") != (first == "eth0") || strings.Contains(routes, "net") {
				t.Errorf("default routes %q, %v", routes, err)
			}
			whole := p.MustLook()
			n.Agent.Kill()
			if err := os.Remove(n.Config.JournalFile()); err != nil {
				t.Fatal(err)
			}
			n.StartAgent()
			n.WaitReady()
			answers()
			again, err := p.Look()
			if diff := cmp.Diff(strings.Split(string(whole), "\n"), strings.Split(string(again), "\n")); diff != "" || err != nil {
				t.Errorf("after the journal was lost (-before +after), %v:\n%s", err, diff)
			}
			removeEach(t, n, p, []string{"net1", first, "net2"}, before)
		})
	}
}

// removeEach DELs one attachment after the other, and wants nothing left.
func removeEach(t *testing.T, n *harness.Node, p *harness.Pod, names []string, before harness.Leftovers) {
	t.Helper()
	for i, name := range names {
		rt := p.Runtime()
		rt.IfName = name
		if err := n.CNI().DelNetworkList(context.Background(), p.List, rt); err != nil {
			t.Fatalf("DEL of %s: %v", name, err)
		}
		for _, other := range names[i+1:] {
			if err := p.Run("ip", "link", "show", other); err != nil {
				t.Errorf("after the DEL of %s: %v", name, err)
			}
		}
	}
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		after, err := p.Look()
		if err == nil && after != before {
			err = fmt.Errorf("left in the pod:\n%s", cmp.Diff(strings.Split(string(before), "\n"), strings.Split(string(after), "\n")))
		}
		return err
	})
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/test/harness"
)

// wired is a node with pods on it.
type wired struct {
	*lab
	driver *linux.Driver
	node   plan.Node
}

func newWired(t *testing.T) *wired {
	t.Helper()
	l := newLab(t)
	driver, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	w := &wired{lab: l, driver: driver, node: planned()}
	w.apply(desired.Owner{}, w.node.Objects())
	return w
}

// planned is what the node is to have.
func planned() plan.Node {
	return plan.Node{Default: desired.Network{
		Name:       model.DefaultNetwork,
		Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd10:1:0:1::1")},
		Pods:       []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24"), netip.MustParsePrefix("fd10:1:0:1::/64")},
		Inside:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48")},
		Masquerade: true,
	}}
}

func (w *wired) apply(owner desired.Owner, objects []desired.Object) {
	w.t.Helper()
	if err := w.tryApply(owner, objects); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wired) tryApply(owner desired.Owner, objects []desired.Object) (err error) {
	work := []dataplane.Work{{Owner: owner, Changes: desired.Diff(nil, desired.NewSet(objects...))}}
	w.driver.Apply(w.t.Context(), work, func(_ desired.Owner, applyErr error) { err = applyErr })
	return err
}

// add makes a pod with eth0 (10.1.1.N1), tap1 (10.1.1.N2), and a veth and a tap in
// the stub network.
func (w *wired) add(n int) model.Netns {
	w.t.Helper()
	ns := w.pod()
	objects := w.objects(n, ns, model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})
	w.apply(objects[0].Key().Owner, objects)
	return ns
}

// objects are what the n-th pod should have: a veth eth0, a custom interface in
// the default network, and a veth and a tap in the stub network.
func (w *wired) objects(n int, ns model.Netns, custom model.Interface) []desired.Object {
	w.t.Helper()
	address := func(i int) []netip.Addr {
		return []netip.Addr{
			netip.MustParseAddr(fmt.Sprintf("10.1.1.%d", 10*n+i)),
			netip.MustParseAddr(fmt.Sprintf("fd10:1:0:1::%d", 10*n+i)),
		}
	}
	custom.Network, custom.Addresses = model.DefaultNetwork, address(2)
	a := model.Attachment{
		ID:    model.AttachmentID{ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)},
		Netns: ns, MTU: 1450,
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: address(1)},
			custom,
			{Name: "veth1", Type: podif.Veth, Network: model.StubNetwork},
			{Name: "tap2", Type: podif.Tap, Queues: 1, Network: model.StubNetwork},
		},
	}
	objects, err := w.node.Attachment(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return objects
}

// run runs a shell line in a pod.
func (w *wired) run(ns model.Netns, line string) error {
	h, err := netns.OpenExact(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Do(func() error {
		out, err := exec.Command("sh", "-c", line).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	})
}

func (w *wired) mustRun(ns model.Netns, line string) {
	w.t.Helper()
	if err := w.run(ns, line); err != nil {
		w.t.Error(err)
	}
}

const (
	ping       = "ping -n -c 1 -W 10 "
	unanswered = "ping -n -c 1 -W 0.3 " // expected to be in vain
)

// dropped counts what the guard refused so far.
func dropped(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "chain", "inet", "polynic", "guard").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, counter, _ := strings.Cut(string(out), "counter ")
	counter, _, _ = strings.Cut(counter, " bytes")
	return counter
}

// A pod that sends from another's address, or from one that nobody has, reaches
// nobody: neither pods nor the node.
func TestSpoofedSourcesAreDropped(t *testing.T) {
	w := newWired(t)
	a := w.add(1)
	w.add(2)
	for _, dev := range []string{"eth0", "tap1"} {
		for _, test := range []struct{ source, target string }{
			{"10.1.1.21", "10.1.1.22"},  // b's own
			{"10.1.1.99", "10.1.1.21"},  // nobody's
			{"192.0.2.77", "10.1.1.21"}, // from outside
			{"10.1.1.21", "10.1.1.1"},
			{"fd10:1:0:1::21", "fd10:1:0:1::22"},
			{"2001:db8::77", "fd10:1:0:1::21"},
			{"fd10:1:0:1::99", "fd10:1:0:1::1"},
		} {
			before := dropped(t)
			bits, kind := "/32", ""
			if strings.Contains(test.source, ":") {
				bits, kind = "/128", "nodad"
			}
			w.mustRun(a, fmt.Sprintf("ip addr add %s%s dev %s %s", test.source, bits, dev, kind))
			if w.run(a, fmt.Sprintf("ip route get %s oif %s >/dev/null; %s -I %s -I %s %s",
				test.target, dev, unanswered, test.source, dev, test.target)) == nil {
				t.Errorf("a ping from %s to %s through %s was answered", test.source, test.target, dev)
			}
			harness.Eventually(t, 20*time.Second, func() error { // what goes through a tap the relay brings
				if dropped(t) == before {
					return fmt.Errorf("nothing was dropped of a ping from %s to %s through %s", test.source, test.target, dev)
				}
				return nil
			})
			w.mustRun(a, fmt.Sprintf("ip addr del %s%s dev %s", test.source, bits, dev))
		}
	}
	w.mustRun(a, ping+"10.1.1.22")
}

// A stub interface reaches nothing, whatever addresses its pod gives it: not
// the node, not pods, not another stub interface.
func TestStubReachesNothing(t *testing.T) {
	w := newWired(t)
	a, b := w.add(1), w.add(2)
	for _, dev := range []string{"veth1", "tap2"} {
		w.mustRun(a, "ip addr add 10.1.1.50/24 dev "+dev+"; ip addr add fd10:1:0:1::50/64 dev "+dev+" nodad")
		for _, other := range []string{"veth1", "tap2"} {
			w.mustRun(b, "ip addr add 10.1.1.51/24 dev "+other+"; ip addr add fd10:1:0:1::51/64 dev "+other+" nodad")
			var pings sync.WaitGroup
			for _, target := range []string{"10.1.1.1", "10.1.1.21", "10.1.1.51", "fd10:1:0:1::1", "fd10:1:0:1::21", "fd10:1:0:1::51"} {
				pings.Go(func() {
					if w.run(a, unanswered+"-I "+dev+" "+target) == nil {
						t.Errorf("%s answers on the stub interface %s", target, dev)
					}
				})
			}
			pings.Wait()
			w.mustRun(b, "ip addr del 10.1.1.51/24 dev "+other+"; ip addr del fd10:1:0:1::51/64 dev "+other)
		}
		w.mustRun(a, "ip addr del 10.1.1.50/24 dev "+dev+"; ip addr del fd10:1:0:1::50/64 dev "+dev)
		w.mustRun(a, "ip -o link show "+dev+" | grep -q LOWER_UP") // the carrier is up all the same
	}
}

// Every address answers, also one that another interface of the asking pod
// could reach, and the answer comes by the interface that was asked.
func TestRepliesLeaveByTheInterfaceThatWasAsked(t *testing.T) {
	w := newWired(t)
	a, b := w.add(1), w.add(2)
	for _, dev := range []string{"eth0", "tap1"} {
		for _, target := range []string{"10.1.1.21", "10.1.1.22", "fd10:1:0:1::21", "fd10:1:0:1::22"} {
			w.mustRun(a, ping+"-I "+dev+" "+target)
		}
	}
	// From now on no reply leaves b by eth0.
	w.mustRun(b, "nft 'add table ip asked; add chain ip asked out { type filter hook output priority 0; }; "+
		"add rule ip asked out oifname eth0 icmp type echo-reply drop'")
	if w.run(a, unanswered+"10.1.1.21") == nil {
		t.Error("a ping to eth0 is answered by another interface")
	}
	w.mustRun(a, ping+"10.1.1.22") // leaves a by eth0, reaches b's tap1
}

// The MTU is that of the path: a full packet passes, and one byte more does
// not unfragmented.
func TestMTUIsKept(t *testing.T) {
	w := newWired(t)
	a := w.add(1)
	w.add(2)
	for _, target := range []string{"10.1.1.21", "10.1.1.22"} {
		w.mustRun(a, ping+"-M do -s 1422 "+target)
		if w.run(a, unanswered+"-M do -s 1423 "+target) == nil {
			t.Errorf("a packet of 1451 bytes passes to %s", target)
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/test/need"
	vppprocess "github.com/polynic/polynic/test/vpp"
)

// wired is a node with a real VPP and pods on it.
type wired struct {
	*lab
	vpp    *vppprocess.Process
	driver *vpp.Driver
	node   plan.Node
	want   desired.Set
}

func newWired(t testing.TB) *wired {
	t.Helper()
	p := vppprocess.Start(t, vppprocess.Config{})
	w := &wired{lab: newLab(t, p.API, p.Stats), vpp: p, node: planned(), want: desired.Set{}}
	driver, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	w.driver = driver
	t.Cleanup(func() { _ = w.driver.Close() })
	w.apply(desired.Owner{}, w.node.Objects())
	return w
}

func planned() plan.Node {
	n := plan.Node{Default: desired.Network{
		Name:       model.DefaultNetwork,
		Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd10:1:0:1::1")},
		Pods:       []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24"), netip.MustParsePrefix("fd10:1:0:1::/64")},
		Inside:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48")},
		Masquerade: true,
	}}
	adapt(&n)
	return n
}

func (w *wired) apply(owner desired.Owner, objects []desired.Object) {
	w.t.Helper()
	w.want.Add(objects...)
	if err := w.change(owner, desired.Diff(nil, desired.NewSet(objects...))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wired) change(owner desired.Owner, changes []desired.Change) (err error) {
	work := []dataplane.Work{{Owner: owner, Changes: changes}}
	w.driver.Apply(w.t.Context(), work, func(_ desired.Owner, failed error) { err = failed })
	return err
}

// attachment is the n-th pod: a veth eth0 (10.1.1.N1), a tap (N2), a memif (N3), and
// one of each in the stub network.
func (w *wired) attachment(n int) model.Attachment {
	address := func(i int) []netip.Addr {
		return []netip.Addr{
			netip.MustParseAddr(fmt.Sprintf("10.1.1.%d", 10*n+i)),
			netip.MustParseAddr(fmt.Sprintf("fd10:1:0:1::%d", 10*n+i)),
		}
	}
	folder := w.Folder()
	memif := func(id uint32) *model.Memif {
		return &model.Memif{ID: id, Container: "app", Allocation: "a", Folder: folder, Secret: model.NewSecret("bcdfghjklmnpqrstvwxz")}
	}
	return model.Attachment{
		ID:    model.AttachmentID{ContainerID: fmt.Sprintf("%064x", n), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)},
		Netns: w.Pod(), MTU: 1450, Network: "net",
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: address(1)},
			{Name: "tap1", Type: podif.Tap, Queues: 1, Network: model.DefaultNetwork, Addresses: address(2)},
			{Name: "memif1", Type: podif.Memif, Queues: 1, Network: model.DefaultNetwork, Addresses: address(3), Memif: memif(0)},
			{Name: "veth1", Type: podif.Veth, Network: model.StubNetwork},
			{Name: "tap2", Type: podif.Tap, Queues: 1, Network: model.StubNetwork},
		},
	}
}

func (w *wired) add(n int) model.Attachment {
	w.t.Helper()
	a := w.attachment(n)
	objects, err := w.node.Attachment(a)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(a.ID, objects)
	return a
}

// run runs a shell line in a pod.
func (w *wired) run(a model.Attachment, line string) error {
	h, err := netns.OpenExact(a.Netns)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Do(func() error { return shell(line) })
}

func shell(line string) error {
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// Every address answers to every other, to the node, and by the interface that was
// asked; bulk traffic arrives too.
func TestTraffic(t *testing.T) {
	need.Command(t, need.Kernel, "ping")
	w := newWired(t)
	a, b := w.add(1), w.add(2)
	for _, line := range []string{
		"ping -c1 -W2 10.1.1.1", "ping -c1 -W2 fd10:1:0:1::1",
		"ping -c1 -W2 172.30.1.2", "ping -c1 -W2 fd30:1::2",
		"ping -c1 -W2 10.1.1.21", "ping -c1 -W2 fd10:1:0:1::21",
		"ping -c1 -W2 10.1.1.22", "ping -c1 -W2 fd10:1:0:1::22",
		"ping -c1 -W2 -I tap1 10.1.1.21", "ping -c1 -W2 -I tap1 fd10:1:0:1::21",
		"ping -c1 -W2 -I tap1 10.1.1.22", "ping -c1 -W2 -I tap1 fd10:1:0:1::22",
		"ping -c1 -W2 -s 1400 -M do 10.1.1.22",
	} {
		if err := w.run(a, line); err != nil {
			t.Error(err)
		}
	}
	for _, line := range []string{"ping -c1 -W2 10.1.1.11", "ping -c1 -W2 fd10:1:0:1::11", "ping -c1 -W2 10.1.1.12", "ping -c1 -W2 fd10:1:0:1::12"} {
		if err := shell(line); err != nil {
			t.Errorf("from the node: %v", err)
		}
	}
	if err := w.run(a, "ip addr add 10.1.1.99/32 dev eth0 && ping -c1 -W1 -I 10.1.1.99 10.1.1.21"); err == nil || !strings.Contains(err.Error(), "100% packet loss") {
		t.Errorf("a ping from an address of nobody's: %v", err)
	}
	for port, target := range []string{"10.1.1.21", "10.1.1.22", "fd10:1:0:1::21"} {
		if err := w.run(b, fmt.Sprintf("iperf3 -s -1 -D -p %d --logfile /dev/null", 6000+port)); err != nil {
			t.Fatal(err)
		}
		const megabytes = 20
		if err := w.run(a, fmt.Sprintf("timeout 20 iperf3 -c %s -p %d -n %dM", target, 6000+port, megabytes)); err != nil {
			t.Error(err)
		}
	}
	t.Log(w.vpp.Do(t, "show interface"))
	t.Log(w.vpp.Do(t, "show errors"))
}

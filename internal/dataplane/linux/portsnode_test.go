// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// portsNode is a node whose switch is not the kernel.
type portsNode struct {
	*wired
}

func newPortsNode(t *testing.T) *portsNode {
	t.Helper()
	l := newLab(t)
	driver, err := l.openPorts(l.peer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	return &portsNode{&wired{lab: l, driver: driver, node: planned()}}
}

// ports are the n-th pod's, of both kinds and both networks.
func (n *portsNode) ports(number int, ns model.Netns) desired.Set {
	n.t.Helper()
	set := desired.Set{}
	for _, o := range n.objects(number, ns, model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1}) {
		if _, isPort := desired.PortOf(o); isPort {
			set.Add(o)
		}
	}
	return set
}

func ownerOf(set desired.Set) desired.Owner { return set.Sorted()[0].Key().Owner }

// change carries out changes of one owner.
func (n *portsNode) change(owner desired.Owner, changes []desired.Change) (err error) {
	work := []dataplane.Work{{Owner: owner, Changes: changes}}
	n.driver.Apply(n.t.Context(), work, func(_ desired.Owner, failed error) { err = failed })
	return err
}

func (n *portsNode) make(want desired.Set) {
	n.t.Helper()
	found, err := n.driver.Observe(n.t.Context(), dataplane.Scope{Want: want})
	if err == nil {
		err = n.change(ownerOf(want), desired.Diff(found, want))
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *portsNode) expect(want desired.Set) {
	n.t.Helper()
	found, err := n.driver.Observe(n.t.Context(), dataplane.Scope{Want: want, Everything: true})
	if err != nil {
		n.t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), found.String()); diff != "" {
		n.t.Errorf("observed (-want +got):\n%s", diff)
	}
}

// nodeState is what there is in the node's namespace beside links.
func nodeState(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `ip route show table all; ip -6 route show table all; ip rule; ip -6 rule
ip neigh show nud all; ip -6 neigh show nud all; ip -o addr; nft list ruleset
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/conf/all/rp_filter /proc/sys/net/ipv6/conf/all/disable_ipv6`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func nodeLinks(t *testing.T) []string {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		if l.Name != "lo" {
			names = append(names, l.Name)
		}
	}
	return names
}

// TestPortsAreAllThatIsMade: in the node's namespace there is a link for each veth,
// up, and nothing else, whatever the network; and after the Reap there is nothing.
func TestPortsAreAllThatIsMade(t *testing.T) {
	n := newPortsNode(t)
	before, inPod := nodeState(t), map[model.Netns]string{}
	want := desired.Set{}
	for i := 1; i <= 2; i++ {
		ns := n.pod()
		inPod[ns] = n.inside(ns)
		pod := n.ports(i, ns)
		n.make(pod)
		want.Add(pod.Sorted()...)
	}
	if diff := cmp.Diff(before, nodeState(t)); diff != "" {
		t.Errorf("in the node's namespace (-before +after):\n%s", diff)
	}
	for _, o := range want {
		p, _ := desired.PortOf(o)
		link, err := net.InterfaceByName(n.driver.PortName(p.Owner, p.Pod.Name))
		if _, isTap := o.(desired.Tap); isTap {
			if err == nil {
				t.Errorf("%s has a link in the node's namespace", o.Key())
			}
			continue
		}
		if err != nil || link.Flags&net.FlagRunning == 0 || link.MTU != p.MTU || link.HardwareAddr.String() == p.SwitchMAC.String() {
			t.Errorf("%s: link %+v, %v, want it up with another MAC than the switch's end", o.Key(), link, err)
		}
	}
	n.expect(want)
	for _, id := range []desired.Owner{ownerOf(n.ports(1, model.Netns{})), ownerOf(n.ports(2, model.Netns{}))} {
		var changes []desired.Change
		for _, c := range desired.Diff(want, nil) {
			if c.Key().Owner == id {
				changes = append(changes, c)
			}
		}
		if err := n.change(id, changes); err != nil {
			t.Error(err)
		}
	}
	if left, err := n.driver.Reap(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left of %v, %v", left, err)
	}
	n.expect(nil)
	if links := nodeLinks(t); len(links) > 0 {
		t.Errorf("links %v are left", links)
	}
	for ns, was := range inPod {
		if diff := cmp.Diff(was, n.inside(ns)); diff != "" {
			t.Errorf("in the pod (-before +after):\n%s", diff)
		}
	}
}

// TestPortsOfAFormerDriver: the next driver finds everything as it is, and what
// nobody wants with the network of veths, which the kernel cannot tell.
func TestPortsOfAFormerDriver(t *testing.T) {
	n := newPortsNode(t)
	known, stray := n.ports(1, n.pod()), n.ports(2, n.pod())
	n.make(known)
	n.make(stray)
	if err := n.driver.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.driver, err = n.openPorts(n.peer); err != nil {
		t.Fatal(err)
	}
	found, err := n.driver.Observe(t.Context(), dataplane.Scope{Want: known, Everything: true})
	if err != nil {
		t.Fatal(err)
	}
	for key, o := range known {
		if found[key] == nil || !found[key].Equal(o) {
			t.Errorf("found %v, want %v", found[key], o)
		}
		delete(found, key)
	}
	for key, o := range stray {
		want, _ := desired.PortOf(o)
		got, ok := desired.PortOf(found[key])
		if !ok || got.Pod.Netns != want.Pod.Netns || got.Pod.MAC != want.Pod.MAC {
			t.Errorf("stray %v, want %v", found[key], o)
		}
		if _, isVeth := o.(desired.Veth); isVeth && (got.Network != want.Network || got.PodName != want.PodName ||
			got.SwitchMAC != want.SwitchMAC || got.MTU != want.MTU) {
			t.Errorf("stray %v, want %v", found[key], o)
		}
	}
	if err := n.change(ownerOf(stray), desired.Diff(found, nil)); err != nil {
		t.Error(err)
	}
	if left, err := n.driver.Reap(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left of %v, %v", left, err)
	}
	n.expect(known)
}

// TestPortsDrift: what somebody does to the link of a veth is noticed and mended.
func TestPortsDrift(t *testing.T) {
	n := newPortsNode(t)
	want := n.ports(1, n.pod())
	n.make(want)
	hits := make(chan dataplane.Hit, 64)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.driver.Watch(ctx, func(h dataplane.Hit) { hits <- h }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	noticed := func(limit time.Duration) bool {
		for {
			select {
			case h := <-hits:
				if slices.Contains(h.Owners, ownerOf(want)) {
					return true
				}
			case <-time.After(limit):
				return false
			}
		}
	}
	name := n.driver.PortName(ownerOf(want), "eth0")
	for run(t, "ip link set "+name+" down"); !noticed(100 * time.Millisecond); run(t, "ip link set "+name+" down") {
		n.make(want) // and again, until the watch has begun
	}
	n.make(want)
	for _, line := range []string{
		"ip link set %s down", "ip link set %s address 02:00:00:00:00:99", "ip link set %s mtu 1300",
		"ip link set %s alias mine", "ip link set %s group 7", "ip link del %s",
	} {
		line = fmt.Sprintf(line, name)
		run(t, line)
		if !noticed(20 * time.Second) {
			t.Fatalf("%q is not noticed", line)
		}
		found, err := n.driver.Observe(t.Context(), dataplane.Scope{Want: want})
		if err != nil {
			t.Fatal(err)
		}
		if len(desired.Diff(found, want)) != 1 {
			t.Errorf("after %q found\n%s", line, found)
		}
		n.make(want)
		n.expect(want)
	}
}

// TestPortsRefuseTheRest: what is the switch's is neither made nor found.
func TestPortsRefuseTheRest(t *testing.T) {
	n := newPortsNode(t)
	all := desired.NewSet(n.objects(1, n.pod(), model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})...)
	err := n.change(ownerOf(all), desired.Diff(nil, all))
	if err == nil || !strings.Contains(err.Error(), "is the switch's, not the kernel's") || len(nodeLinks(t)) > 0 {
		t.Errorf("error %v and links %v, want a refusal", err, nodeLinks(t))
	}
	err = n.change(desired.Owner{}, desired.Diff(nil, desired.NewSet(desired.Network{Name: model.StubNetwork})))
	if err == nil || !strings.Contains(err.Error(), "network node stub") {
		t.Errorf("error %v, want a refusal that names the network", err)
	}
}

// TestPortsOfASwitchThatMakesNoTap: a tap that the switch has the file of is there
// before it is applied, and is a tap.
func TestPortsOfASwitchThatMakesNoTap(t *testing.T) {
	n := newPortsNode(t)
	driver, err := n.openPorts(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	n.driver = driver
	want := n.ports(1, n.pod())
	if err := n.change(ownerOf(want), desired.Diff(nil, want)); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "tap") {
		t.Errorf("error %v, want ENODEV and the tap named", err)
	}
}

// TestPortsAreNotTheNodes: what a pod sends reaches the switch's end of its veth, as
// a switch reads it there, and nothing of the node's own, whomever it is addressed to.
func TestPortsAreNotTheNodes(t *testing.T) {
	n := newPortsNode(t)
	ns := n.pod()
	want := n.ports(1, ns)
	n.make(want)
	run(t, "ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip addr add 2001:db8::1/128 dev lo nodad; "+
		"echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	t.Cleanup(func() {
		run(t, "ip addr del 192.0.2.1/32 dev lo; ip addr del 2001:db8::1/128 dev lo; "+
			"echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding")
	})
	node, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "[::]:4242")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	name := n.driver.PortName(ownerOf(want), "eth0")
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	read := listenAt(t, link.Index)
	switchMAC, _ := desired.PortOf(want[desired.Key{Owner: ownerOf(want), Kind: desired.KindVeth, Name: "eth0"}])
	for _, mac := range []string{switchMAC.SwitchMAC.String(), link.HardwareAddr.String(), "ff:ff:ff:ff:ff:ff"} {
		for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
			payload := mac + " " + to
			n.mustRun(ns, fmt.Sprintf("ip neigh replace 10.1.1.1 lladdr %[1]s dev eth0; ip neigh replace fd10:1:0:1::1 lladdr %[1]s dev eth0", mac))
			n.mustRun(ns, fmt.Sprintf("bash -c 'printf %%s \"%s\" >/dev/udp/%s/4242'", payload, to))
			read(payload)
		}
	}
	n.mustRun(ns, "ip addr add 192.0.2.9/24 dev eth0")
	if n.run(ns, unanswered+"-I eth0 192.0.2.1") == nil {
		t.Error("the node answers on the switch's end")
	}
	if err := node.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	if k, from, err := node.ReadFrom(buffer); err == nil {
		t.Errorf("the node got %q from %v", buffer[:k], from)
	}
}

// listenAt reads frames from a link, as a switch does, until one has the payload.
func listenAt(t *testing.T, link int) (read func(payload string)) {
	t.Helper()
	const all = uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})); err != nil {
		t.Fatal(err)
	}
	return func(payload string) {
		t.Helper()
		frame := make([]byte, 2048)
		for {
			n, _, err := unix.Recvfrom(fd, frame, 0)
			if errors.Is(err, unix.EINTR) { // as a child has ended
				continue
			}
			if err != nil {
				t.Fatalf("%q did not arrive at the link: %v", payload, err)
			}
			if bytes.HasSuffix(frame[:n], []byte(payload)) {
				return
			}
		}
	}
}

func run(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

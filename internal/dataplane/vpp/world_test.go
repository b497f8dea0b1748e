// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"go.fd.io/govpp/binapi/cnat"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/linux/services"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// world is a node with a real VPP and a host beside it, for the services' suite.
type world struct {
	*wired
	outside drivertest.Place
	pods    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	need.Command(t, need.Kernel, "nft")
	table, err := services.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	w.wired, _ = onVPPWith(t, table)
	w.addOutside()
	return w
}

// addOutside makes the host beside the node: what the node does not know is there.
func (w *world) addOutside() {
	w.t.Helper()
	path := w.Pod() // a namespace like any
	h, err := netns.OpenExact(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = h.Close() })
	w.outside = drivertest.Place{Do: h.Do, Addresses: [2]netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}}
	for _, line := range []string{
		"sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0", // each refusal is to be heard
		"ip link add beside type veth peer name uplink netns " + path.Path,
		"ip addr add 192.0.2.1/24 dev beside && ip addr add 2001:db8::1/64 dev beside nodad && ip link set beside up",
		"ip route add default via 192.0.2.9 && ip -6 route add default via 2001:db8::9",
	} {
		if err := shell(line); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", "beside").Run() })
	if err := h.Do(func() error {
		return shell("ip addr add 192.0.2.9/24 dev uplink && ip addr add 2001:db8::9/64 dev uplink nodad && ip link set uplink up && " +
			"ip route add 10.96.0.0/16 via 192.0.2.1 && ip route add 203.0.113.0/24 via 192.0.2.1 && " +
			"ip -6 route add fd10:96::/48 via 2001:db8::1 && ip -6 route add 2001:db8:113::/48 via 2001:db8::1")
	}); err != nil {
		w.t.Fatal(err)
	}
}

// addPod makes one with two interfaces.
func (w *world) addPod() drivertest.ServicePod {
	w.t.Helper()
	w.pods++
	a := w.attachment(1)
	a.ID.ContainerID, a.Pod.Name = fmt.Sprintf("%064x", w.pods), fmt.Sprintf("pod-%d", w.pods)
	a.Interfaces = []model.Interface{
		{Name: "eth0", Type: podif.Tap, Queues: 1, Network: model.DefaultNetwork, Addresses: w.numbered(2*w.pods + 1)},
		{Name: "veth1", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: w.numbered(2*w.pods + 2)},
	}
	objects, err := w.node.Attachment(a)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(a.ID, objects)
	h, err := netns.OpenExact(a.Netns)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = h.Close() })
	return drivertest.ServicePod{
		Place:  drivertest.Place{Do: h.Do, Addresses: [2]netip.Addr(w.numbered(2*w.pods + 1))},
		Custom: [2]netip.Addr(w.numbered(2*w.pods + 2)),
	}
}

// numbered are the pods' n-th addresses.
func (*world) numbered(n int) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.1.1.%d", n)), netip.MustParseAddr(fmt.Sprintf("fd10:1:0:1::%x", n))}
}

// lacks is what the suite cannot ask of VPP.
func (w *world) lacks() map[string]string {
	list := map[string]string{
		drivertest.OwnCustomInterface: "VPP hides a pod from itself only where it comes from the address that it asks",
		drivertest.OtherClients:       "what is not TCP is resolved by the node, which hides pods",
	}
	if !vpptest.Dial(w.t, w.api).Knows(&cnat.CnatSessionDetails{}) {
		list["clients are seen, or hidden"] = "this VPP leaves all services to the node, which hides pods"
	}
	return list
}

// The outside, which knows no way to the pods, answers them: it sees the node.
func TestMasquerade(t *testing.T) {
	w := newWorld(t)
	pod := w.addPod()
	for _, line := range []string{"ping -c1 -W2 192.0.2.9", "ping -c1 -W2 2001:db8::9"} {
		if err := pod.Do(func() error { return shell(line) }); err != nil {
			t.Error(err)
		}
	}
}

func TestServicePacketsOverVPP(t *testing.T) {
	w := newWorld(t)
	drivertest.RunServicePackets(t, drivertest.World{
		Open: func() (dataplane.Services, error) { return w.driver, nil },
		Node: drivertest.Place{
			Do:        func(f func() error) error { return f() },
			Addresses: [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		},
		Outside: w.outside, Pod: w.addPod,
		Lacks: w.lacks(),
	})
}

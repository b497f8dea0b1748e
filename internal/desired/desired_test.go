// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// examples gives one object of every kind, with everything set.
func examples() []desired.Object {
	ip, prefix := netip.MustParseAddr, netip.MustParsePrefix
	owner := desired.Owner{ContainerID: "abc", IfName: "eth0"}
	port := desired.Port{
		Owner: owner, Network: "default", SwitchMAC: model.MAC{2, 0xfe, 0, 0, 0, 2}, MTU: 1450, PodName: "shop/web",
		Pod: desired.PodEnd{
			Netns: model.Netns{Path: "/run/netns/a", Inode: 7}, Name: "tap1", MAC: model.MAC{2, 0xfe, 0, 0, 0, 1},
			Addresses: []netip.Prefix{prefix("10.1.1.2/32"), prefix("fd00::2/128")},
			Neighbors: []desired.PodNeighbor{{IP: ip("10.1.1.1"), MAC: model.MAC{2, 0xfe, 0, 0, 0, 2}}},
			Routes: []desired.PodRoute{
				{Table: desired.MainTable, Dst: prefix("10.1.1.1/32")},
				{Table: 1001, Dst: prefix("0.0.0.0/0"), Via: ip("10.1.1.1")},
			},
			Rules: []desired.PodRule{
				{Priority: 100, From: prefix("10.1.1.2/32"), Table: 1001},
				{Priority: 100, From: prefix("fd00::2/128"), IPv6: true, Table: 1001},
				{Priority: 101, Table: 1001},
				{Priority: 101, IPv6: true, Table: 1001},
			},
		},
	}
	return []desired.Object{
		desired.Network{
			Name: "default", Gateways: []netip.Addr{ip("10.1.1.1"), ip("fd00::1")},
			Pods: []netip.Prefix{prefix("10.1.1.0/24")}, Inside: []netip.Prefix{prefix("10.1.0.0/16")}, Masquerade: true,
			Table: 1,
		},
		desired.HostLink{
			Name: "vpp1", Switch: []netip.Prefix{prefix("172.30.1.1/24")}, Host: []netip.Prefix{prefix("172.30.1.2/24")},
			SwitchMAC: model.MAC{0x34, 0x3c, 0, 0, 0, 1}, HostMAC: model.MAC{0x34, 0x3c, 0, 0, 0, 2}, MTU: 1450,
			Pods: []netip.Prefix{prefix("10.1.1.0/24")},
		},
		desired.Veth{Port: port},
		desired.Tap{Port: port, Queues: 2},
		desired.Memif{
			Port: port, ID: 1, Folder: "/run/polynic/memif/f", Secret: model.NewSecret("bcdfghjklmnpqrstvwxz"), AcceptUnsealed: true,
			QueuePairs: 4, RingSize: 4096, Queues: 2, Gateways: []netip.Addr{ip("10.1.1.1"), ip("fd00::1")},
		},
		desired.Neighbor{Owner: owner, Network: "default", Interface: "tap1", IP: ip("10.1.1.2"), MAC: model.MAC{2, 0xfe, 0, 0, 0, 1}},
		desired.Route{Owner: owner, Network: "default", Interface: "tap1", Dst: prefix("10.1.1.2/32")},
	}
}

// The text is what an operator reads.
func TestText(t *testing.T) {
	want, err := os.ReadFile("testdata/set.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), desired.NewSet(examples()...).String()); diff != "" {
		t.Errorf("testdata/set.golden (-want +got):\n%s", diff)
	}
}

// Whatever differs is a difference: a field that Equal forgot would never be
// repaired.
func TestEqualSeesEveryField(t *testing.T) {
	changes := map[string]func(*desired.Port){
		"owner":         func(p *desired.Port) { p.Owner.IfName = "eth1" },
		"network":       func(p *desired.Port) { p.Network = "stub" },
		"switch MAC":    func(p *desired.Port) { p.SwitchMAC[5]++ },
		"MTU":           func(p *desired.Port) { p.MTU++ },
		"pod's name":    func(p *desired.Port) { p.PodName = "shop/db" },
		"netns path":    func(p *desired.Port) { p.Pod.Netns.Path = "/run/netns/b" },
		"netns inode":   func(p *desired.Port) { p.Pod.Netns.Inode++ },
		"name":          func(p *desired.Port) { p.Pod.Name = "tap2" },
		"MAC":           func(p *desired.Port) { p.Pod.MAC[5]++ },
		"addresses":     func(p *desired.Port) { p.Pod.Addresses = p.Pod.Addresses[:1] },
		"neighbours":    func(p *desired.Port) { p.Pod.Neighbors = nil },
		"routes' order": func(p *desired.Port) { p.Pod.Routes = []desired.PodRoute{p.Pod.Routes[1], p.Pod.Routes[0]} },
		"rules":         func(p *desired.Port) { p.Pod.Rules = p.Pod.Rules[1:] },
	}
	for name, change := range changes {
		port, _ := desired.PortOf(examples()[2])
		change(&port)
		memif := examples()[4].(desired.Memif)
		memif.Port = port
		for _, o := range []desired.Object{desired.Veth{Port: port}, desired.Tap{Port: port, Queues: 2}, memif} {
			if same := examples()[o.Key().Kind-1]; o.Equal(same) || same.Equal(o) {
				t.Errorf("%s: another %s is taken for equal", o.Key().Kind, name)
			}
		}
	}
}

func TestEqualSeesEveryFieldOfAMemif(t *testing.T) {
	for name, change := range map[string]func(*desired.Memif){
		"id":          func(m *desired.Memif) { m.ID++ },
		"folder":      func(m *desired.Memif) { m.Folder += "2" },
		"secret":      func(m *desired.Memif) { m.Secret = model.NewSecret("another") },
		"unsealed":    func(m *desired.Memif) { m.AcceptUnsealed = false },
		"queue pairs": func(m *desired.Memif) { m.QueuePairs++ },
		"ring size":   func(m *desired.Memif) { m.RingSize *= 2 },
		"queues":      func(m *desired.Memif) { m.Queues++ },
		"gateways":    func(m *desired.Memif) { m.Gateways = m.Gateways[:1] },
	} {
		same := examples()[4].(desired.Memif)
		other := same
		change(&other)
		if other.Equal(same) || same.Equal(other) {
			t.Errorf("another %s is taken for equal", name)
		}
	}
}

func TestEqualSeesEveryFieldOfAHostLink(t *testing.T) {
	for name, change := range map[string]func(*desired.HostLink){
		"switch's addresses": func(h *desired.HostLink) { h.Switch = nil },
		"host's addresses":   func(h *desired.HostLink) { h.Host = nil },
		"switch MAC":         func(h *desired.HostLink) { h.SwitchMAC[5]++ },
		"host's MAC":         func(h *desired.HostLink) { h.HostMAC[5]++ },
		"MTU":                func(h *desired.HostLink) { h.MTU++ },
		"ranges":             func(h *desired.HostLink) { h.Pods = nil },
	} {
		same := examples()[1].(desired.HostLink)
		other := same
		change(&other)
		if other.Equal(same) || same.Equal(other) {
			t.Errorf("another %s is taken for equal", name)
		}
	}
}

func TestEqual(t *testing.T) {
	for i, a := range examples() {
		for j, b := range examples() {
			if got, want := a.Equal(b), i == j; got != want {
				t.Errorf("%s equal to %s: %v", a.Key(), b.Key(), got)
			}
			if (a.Key() == b.Key()) != (i == j) {
				t.Errorf("keys of %s and %s", a, b)
			}
		}
		_, isPort := desired.PortOf(a)
		if want := a.Key().Kind >= desired.KindVeth && a.Key().Kind <= desired.KindMemif; isPort != want {
			t.Errorf("%s is a port: %v", a.Key(), isPort)
		}
	}
	port, _ := desired.PortOf(examples()[3])
	if (desired.Tap{Port: port, Queues: 1}).Equal(examples()[3]) {
		t.Error("a tap with another number of queues is taken for equal")
	}
	network := examples()[0].(desired.Network)
	network.Inside = nil
	if network.Equal(examples()[0]) {
		t.Error("a network with other ranges is taken for equal")
	}
	network = examples()[0].(desired.Network)
	network.Table++
	if network.Equal(examples()[0]) {
		t.Error("a network with another table is taken for equal")
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
)

func TestSubnets(t *testing.T) {
	subnet := func(cidr string, length int) config.Subnet {
		return config.Subnet{CIDR: netip.MustParsePrefix(cidr), NodePrefixLen: length}
	}
	for name, test := range map[string]struct {
		change func(*Settings)
		want   []config.Subnet
	}{
		"by default": {func(*Settings) {}, []config.Subnet{subnet("10.1.0.0/16", 24), subnet("fd00:10:1::/48", 64)}},
		"IPv4":       {func(s *Settings) { s.IPFamily = "ipv4" }, []config.Subnet{subnet("10.1.0.0/16", 24)}},
		"IPv6":       {func(s *Settings) { s.IPFamily = "ipv6" }, []config.Subnet{subnet("fd00:10:1::/48", 64)}},
		"one replaced": {
			func(s *Settings) { s.PodSubnets = []string{"fd00:2::/56"} },
			[]config.Subnet{subnet("10.1.0.0/16", 24), subnet("fd00:2::/56", 64)},
		},
		"both replaced, and cut": {
			func(s *Settings) { s.PodSubnets = []string{"fd00:2::/48,60", "10.2.0.0/20,29"} },
			[]config.Subnet{subnet("10.2.0.0/20", 29), subnet("fd00:2::/48", 60)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := DefaultSettings()
			test.change(&s)
			c, err := s.Config("/lab")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.Network.Subnets, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("subnets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigIsTheLabsOwn(t *testing.T) {
	s := DefaultSettings()
	s.Eth0, s.MTU, s.TapQueues = "tap", 9000, 4
	c, err := s.Config("/lab")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		c.NodeName, c.NodeID, c.StateDir, c.RunDir, c.PodNetnsDir, c.PodSource, c.Network.Eth0, c.Network.MTU, c.Network.TapQueues,
		c.Memif.Enabled, c.Memif.KubeletDir,
	}
	want := []any{
		"node1", 1, "/lab/nodes/node1/agent", "/lab/nodes/node1/run", "/lab/netns", "dir:/lab/nodes/node1/manifests", "tap", 9000, 4,
		true, "/lab/nodes/node1/kubelet",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

// A VPP of the lab's own has its sockets in the lab's folder; of one that runs
// already they are beside the one that is given.
func TestSocketsOfVPP(t *testing.T) {
	for api, want := range map[string]config.VPP{
		"":                  {APISocket: "/lab/nodes/node1/vpp/api.sock", StatsSocket: "/lab/nodes/node1/vpp/stats.sock", CLISocket: "/lab/nodes/node1/vpp/cli.sock", TapRingSize: 256},
		"/run/vpp/api.sock": {APISocket: "/run/vpp/api.sock", StatsSocket: "/run/vpp/stats.sock", CLISocket: "/run/vpp/cli.sock", TapRingSize: 256},
	} {
		s := DefaultSettings()
		s.Dataplane, s.VPPAPI = "vpp", api
		c, err := s.Config("/lab")
		if err != nil || c.VPP != want || s.runsVPP() != (api == "") {
			t.Errorf("%q: %+v, %v, want %+v", api, c.VPP, err, want)
		}
	}
}

// Etcd is at the node, unless somebody wants none, or the node is a namespace of
// others.
func TestEtcdOfTheLab(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Settings)
		want    int
		because string
	}{
		"by itself":        {func(*Settings) {}, 1, ""},
		"not wanted":       {func(s *Settings) { s.NoEtcd = true }, 0, "--no-etcd"},
		"with VPP":         {func(s *Settings) { s.Dataplane = "vpp" }, 1, ""},
		"at somebody else": {func(s *Settings) { s.Dataplane, s.VPPAPI = "vpp", "/run/vpp/api.sock" }, 0, "--vpp-api"},
	} {
		s := DefaultSettings()
		c.change(&s)
		if got, err := s.Config("/lab"); err != nil || len(got.Etcd.Endpoints) != c.want {
			t.Errorf("%s: %v, %v, want %d", name, got.Etcd.Endpoints, err, c.want)
		}
		if err := s.EtcdAbsence(); (err == nil) != (c.want > 0) || err != nil && !strings.Contains(err.Error(), c.because) {
			t.Errorf("%s: %v, want %q", name, err, c.because)
		}
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*Settings){
		"--vpp-api /a is of use with --dataplane vpp only": func(s *Settings) { s.VPPAPI = "/a" },
		`--ip-family "ipv5" is not known`:                  func(s *Settings) { s.IPFamily = "ipv5" },
		"--nodes 2: ":                                      func(s *Settings) { s.Nodes = 2 },
		`dataplane: "ovs"`:                                 func(s *Settings) { s.Dataplane = "ovs" },
		`--vpp-api "a" is not an absolute path`:            func(s *Settings) { s.Dataplane, s.VPPAPI = "vpp", "a" },
		"--pod-subnet 172.30.0.0/16":                       func(s *Settings) { s.Dataplane, s.PodSubnets = "vpp", []string{"172.30.0.0/16"} },
		"network.mtu: 100":                                 func(s *Settings) { s.MTU = 100 },
		`network.eth0: "tun"`:                              func(s *Settings) { s.Eth0 = "tun" },
		"network.tapQueues: 0":                             func(s *Settings) { s.TapQueues = 0 },
		"--pod-subnet x: want CIDR":                        func(s *Settings) { s.PodSubnets = []string{"x"} },
		"--pod-subnet 10.1.0.0/16,x: length":               func(s *Settings) { s.PodSubnets = []string{"10.1.0.0/16,x"} },
		"--pod-subnet fd00::/48 is not of the family":      func(s *Settings) { s.IPFamily, s.PodSubnets = "ipv4", []string{"fd00::/48"} },
		"network.subnets[0].cidr: 10.1.0.1/16 has bits":    func(s *Settings) { s.PodSubnets = []string{"10.1.0.1/16"} },
		"--pod-subnet 192.0.0.0/8 overlaps 192.0.2.0/24":   func(s *Settings) { s.PodSubnets = []string{"192.0.0.0/8"} },
		"--pod-subnet 2001:db8::/48 overlaps 2001:db8::":   func(s *Settings) { s.PodSubnets = []string{"2001:db8::/48"} },
		"127.0.0.0/16 overlaps 127.0.0.0/8":                func(s *Settings) { s.PodSubnets = []string{"127.0.0.0/16"} },
		"network.subnets[0].nodePrefixLen: 16 is not long": func(s *Settings) { s.PodSubnets = []string{"10.1.0.0/16,16"} },
	} {
		s := DefaultSettings()
		change(&s)
		if _, err := s.Config("/lab"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func FuzzParseSubnet(f *testing.F) {
	for _, text := range []string{"10.1.0.0/16", "10.1.0.0/16,24", "fd00::/48,64", ",", "1/2,3", "::/0,-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := DefaultSettings()
		s.PodSubnets = []string{text}
		c, err := s.Config("/lab")
		if err == nil && c.Validate() != nil {
			t.Errorf("%q is taken, and refused by the agent: %v", text, c.Validate())
		}
	})
}

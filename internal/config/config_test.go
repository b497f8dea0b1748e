// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
)

// minimal is the least that a file must say.
const minimal = "nodeName: node-1\npodSource: dir:/etc/polynic/pods\n"

// vpp is the least that a file says where VPP switches.
const vpp = minimal + "dataplane: vpp\n"

// cluster is the least that a file says in a cluster.
const cluster = "nodeName: node-1\npodSource: kubernetes\n"

func load(t *testing.T, text string) (config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil && !strings.Contains(err.Error(), path) {
		t.Errorf("error %q does not name the file", err)
	}
	return c, err
}

func TestDefaults(t *testing.T) {
	got, err := load(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := config.Config{
		NodeName:    "node-1",
		NodeID:      1,
		Dataplane:   "linux",
		StateDir:    "/var/lib/polynic",
		RunDir:      "/run/polynic",
		PodNetnsDir: "/run/netns",
		SysctlDir:   "/proc/sys",
		PodSource:   "dir:/etc/polynic/pods",
		Network: config.Network{
			Subnets: []config.Subnet{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), NodePrefixLen: 24}},
			HostSubnets: []config.Subnet{
				{CIDR: netip.MustParsePrefix("172.30.0.0/16"), NodePrefixLen: 24},
				{CIDR: netip.MustParsePrefix("fd00:172:30::/48"), NodePrefixLen: 64},
			},
			MTU:        1450,
			Eth0:       "auto",
			TapQueues:  1,
			Masquerade: &yes,
		},
		Kubernetes: config.Kubernetes{NetworkStatus: true},
		Memif:      config.Memif{KubeletDir: "/var/lib/kubelet", Devices: 100},
		VPP: config.VPP{
			APISocket: "/run/vpp/api.sock", StatsSocket: "/run/vpp/stats.sock", CLISocket: "/run/vpp/cli.sock", TapRingSize: 256,
		},
		Etcd:           config.Etcd{KeyForm: "both"},
		RepairInterval: config.Duration{Duration: 30 * time.Second},
		SweepInterval:  config.Duration{Duration: 5 * time.Minute},
		AwayLimit:      config.Duration{Duration: time.Minute},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	got, err := load(t, `
nodeName: node-2
nodeID: 2
dataplane: vpp
stateDir: /state
runDir: /run/lab
podNetnsDir: /run/docker/netns
mountNamespace: /proc/1/ns/mnt
sysctlDir: /host/proc/sys
podSource: dir:/pods
repairInterval: 10s
sweepInterval: 20s
awayLimit: 1m30s
network:
  subnets:
  - {cidr: "fd00:10::/48", nodePrefixLen: 64}
  - {cidr: 10.2.0.0/16, nodePrefixLen: 25}
  hostSubnets:
  - {cidr: "fd00:30::/48", nodePrefixLen: 65}
  - {cidr: 172.20.0.0/16, nodePrefixLen: 26}
  mtu: 9000
  eth0: tap
  tapQueues: 4
  masquerade: false
memif: {enabled: true, kubeletDir: /kubelet, devices: 7, firstID: 1, acceptUnsealed: true}
kubernetes: {networkStatus: false}
etcd:
  endpoints: ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
  tls: {caFile: /tls/ca, certFile: /tls/cert, keyFile: /tls/key}
  secretDir: /secret
  username: polynic
  passwordFile: /secret/password
  keyForm: v3
vpp: {apiSocket: /vpp/a, statsSocket: /vpp/s, cliSocket: /vpp/c, tapRingSize: 1024}
`)
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := config.Config{
		NodeName: "node-2", NodeID: 2, Dataplane: "vpp", StateDir: "/state", RunDir: "/run/lab",
		PodNetnsDir: "/run/docker/netns", MountNamespace: "/proc/1/ns/mnt", SysctlDir: "/host/proc/sys", PodSource: "dir:/pods",
		Network: config.Network{
			Subnets: []config.Subnet{
				{CIDR: netip.MustParsePrefix("fd00:10::/48"), NodePrefixLen: 64},
				{CIDR: netip.MustParsePrefix("10.2.0.0/16"), NodePrefixLen: 25},
			},
			HostSubnets: []config.Subnet{
				{CIDR: netip.MustParsePrefix("fd00:30::/48"), NodePrefixLen: 65},
				{CIDR: netip.MustParsePrefix("172.20.0.0/16"), NodePrefixLen: 26},
			},
			MTU: 9000, Eth0: "tap", TapQueues: 4, Masquerade: &no,
		},
		Memif: config.Memif{Enabled: true, KubeletDir: "/kubelet", Devices: 7, FirstID: 1, AcceptUnsealed: true},
		VPP:   config.VPP{APISocket: "/vpp/a", StatsSocket: "/vpp/s", CLISocket: "/vpp/c", TapRingSize: 1024},
		Etcd: config.Etcd{
			Endpoints: []string{"https://10.0.0.1:2379", "https://10.0.0.2:2379"},
			TLS:       config.EtcdTLS{CAFile: "/tls/ca", CertFile: "/tls/cert", KeyFile: "/tls/key"},
			SecretDir: "/secret", Username: "polynic", PasswordFile: "/secret/password", KeyForm: "v3",
		},
		RepairInterval: config.Duration{Duration: 10 * time.Second},
		SweepInterval:  config.Duration{Duration: 20 * time.Second},
		AwayLimit:      config.Duration{Duration: 90 * time.Second},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if got.Network.MasqueradeOn() || !(config.Network{}).MasqueradeOn() {
		t.Error("masquerading is on unless the file says no")
	}
}

// What the cluster gives has no default.
func TestInCluster(t *testing.T) {
	t.Setenv("NODE_NAME", "node-7")
	got, err := load(t, "podSource: kubernetes\nkubernetes: {kubeconfig: /etc/admin.conf}")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.NodeName, want.NodeID, want.Network.Subnets = "node-7", 0, nil
	want.PodSource, want.Kubernetes.Kubeconfig = "kubernetes", "/etc/admin.conf"
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if !got.InCluster() || (config.Config{PodSource: "dir:/pods"}).InCluster() {
		t.Error("the API server is a source, and a folder is another")
	}
	for _, text := range []string{
		cluster + "network: {subnets: [{cidr: 10.1.0.0/16}]}",
		cluster + "nodeID: 3\nnetwork: {subnets: [{cidr: 10.1.0.0/16, nodePrefixLen: 24}]}",
	} {
		if got, err := load(t, text); err != nil || got.NodeName != "node-1" || len(got.Network.Subnets) != 1 {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := config.Load("/nowhere/polynic.yaml")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/polynic.yaml: no such file") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestEth0Type(t *testing.T) {
	for _, c := range []struct {
		dataplane, word string
		want            podif.Type
	}{
		{"linux", "auto", podif.Veth},
		{"linux", "tap", podif.Tap},
		{"vpp", "auto", podif.Tap},
		{"vpp", "veth", podif.Veth},
	} {
		made := config.Config{Dataplane: c.dataplane, Network: config.Network{Eth0: c.word}}
		if got, err := made.Eth0Type(); err != nil || got != c.want {
			t.Errorf("%s on %s: %v, %v, want %v", c.word, c.dataplane, got, err, c.want)
		}
	}
}

func TestPaths(t *testing.T) {
	c := config.Config{StateDir: "/state", RunDir: "/run/polynic"}
	for got, want := range map[string]string{
		c.CNISocket():     "/run/polynic/cni.sock",
		c.InspectSocket(): "/run/polynic/inspect.sock",
		c.RelaySocket():   "/run/polynic/relay.sock",
		c.NetnsDir():      "/run/polynic/netns",
		c.MemifDir():      "/run/polynic/memif",
		c.SwitchDir():     "/run/polynic/switch",
		c.TombstoneDir():  "/state/tombstones",
		c.JournalFile():   "/state/journal",
		c.NodeFile():      "/state/node.json",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestDurationText(t *testing.T) {
	text, err := config.Duration{Duration: 90 * time.Second}.MarshalText()
	if err != nil || string(text) != "1m30s" {
		t.Errorf("%s, %v, want 1m30s", text, err)
	}
}

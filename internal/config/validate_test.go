// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"strings"
	"testing"
)

// Every error says where in the file it is.
func TestRefusedSettings(t *testing.T) {
	subnets := func(list string) string { return minimal + "network:\n  subnets: [" + list + "]\n" }
	for _, c := range []struct{ name, text, want string }{
		{"no name", "podSource: dir:/pods", "nodeName: is required"},
		{"no source", "nodeName: a", `podSource: "" is neither kubernetes nor of the form dir:/PATH`},
		{"other source", "nodeName: a\npodSource: http://x", `podSource: "http://x" is neither kubernetes nor of the form dir:/PATH`},
		{"relative source", "nodeName: a\npodSource: dir:pods", `podSource: "dir:pods" is neither kubernetes nor of the form dir:/PATH`},
		{"node -1", minimal + "nodeID: -1", "nodeID: -1 is not between 1 and 65535"},
		{"node -1 in a cluster", cluster + "nodeID: -1", "nodeID: -1 is not between 1 and 65535"},
		{"relative kubeconfig", cluster + "kubernetes: {kubeconfig: admin.conf}", `kubernetes.kubeconfig: "admin.conf" is not an absolute path`},
		{"number of nothing", cluster + "nodeID: 2", "network.subnets: is required with nodeID"},
		{
			"number without a split", cluster + "nodeID: 2\nnetwork: {subnets: [{cidr: 10.1.0.0/16}]}",
			"network.subnets[0].nodePrefixLen: 0 is not longer than the subnet's 16",
		},
		{"node 65536", minimal + "nodeID: 65536", "nodeID: 65536 is not between 1 and 65535"},
		{"dataplane", minimal + "dataplane: ovs", `dataplane: "ovs" is not known (want linux or vpp)`},
		{"state folder", minimal + "stateDir: var", `stateDir: "var" is not an absolute path`},
		{"run folder", minimal + `runDir: ""`, `runDir: "" is not an absolute path`},
		{"pods' folder", minimal + "podNetnsDir: netns", `podNetnsDir: "netns" is not an absolute path`},
		{"mount namespace", minimal + "mountNamespace: proc/1/ns/mnt", `mountNamespace: "proc/1/ns/mnt" is not an absolute path`},
		{"settings", minimal + `sysctlDir: ""`, `sysctlDir: "" is not an absolute path`},
		{"no repair", minimal + "repairInterval: 0s", "repairInterval: 0s is not positive"},
		{"no sweep", minimal + "sweepInterval: -1s", "sweepInterval: -1s is not positive"},
		{"away", minimal + "awayLimit: -1s", "awayLimit: -1s is not positive"},
		{"duration", minimal + "awayLimit: soon", `duration: time: invalid duration "soon"`},
		{"small MTU", minimal + "network: {mtu: 1279}", "network.mtu: 1279 is not between 1280 and 65513"},
		{"large MTU", minimal + "network: {mtu: 65514}", "network.mtu: 65514 is not between 1280 and 65513"},
		{"no queue", minimal + "network: {tapQueues: 0}", "network.tapQueues: 0 is not between 1 and 16"},
		{"many queues", minimal + "network: {tapQueues: 17}", "network.tapQueues: 17 is not between 1 and 16"},
		{"eth0", minimal + "network: {eth0: memif}", `network.eth0: "memif" is not known (want auto, tap or veth)`},
		{"no subnet", subnets(""), "network.subnets: at least one is required"},
		{"no range", subnets("{nodePrefixLen: 24}"), "network.subnets[0].cidr: is required"},
		{"bad range", subnets("{cidr: 10.1/16, nodePrefixLen: 24}"), "10.1/16"},
		{"host bits", subnets("{cidr: 10.1.0.1/16, nodePrefixLen: 24}"), "network.subnets[0].cidr: 10.1.0.1/16 has bits set beyond its length"},
		{
			"family twice", subnets(`{cidr: "fd00::/48", nodePrefixLen: 64}, {cidr: 10.1.0.0/16, nodePrefixLen: 24}, {cidr: 10.2.0.0/16, nodePrefixLen: 24}`),
			"network.subnets[2]: 10.2.0.0/16 is a second subnet of its family",
		},
		{"no split", subnets("{cidr: 10.1.0.0/16}"), "network.subnets[0].nodePrefixLen: 0 is not longer than the subnet's 16"},
		{"same length", subnets("{cidr: 10.1.0.0/16, nodePrefixLen: 16}"), "network.subnets[0].nodePrefixLen: 16 is not longer than the subnet's 16"},
		{"no room", subnets("{cidr: 10.1.0.0/16, nodePrefixLen: 30}"), "network.subnets[0].nodePrefixLen: 30 leaves no room for pods"},
		{"no room, IPv6", subnets(`{cidr: "fd00::/64", nodePrefixLen: 126}`), "network.subnets[0].nodePrefixLen: 126 leaves no room for pods"},
		{
			"node beyond", "nodeID: 257\n" + minimal,
			"network.subnets[0].nodePrefixLen: 24 leaves room for 256 nodes, and this one has number 257",
		},
		{"kubelet's folder", minimal + "memif: {kubeletDir: kubelet}", `memif.kubeletDir: "kubelet" is not an absolute path`},
		{"no device", minimal + "memif: {devices: 0}", "memif.devices: 0 is not between 1 and 10000"},
		{"many devices", minimal + "memif: {devices: 10001}", "memif.devices: 10001 is not between 1 and 10000"},
		{"etcd's key form", minimal + "etcd: {keyForm: v4}", `etcd.keyForm: "v4" is not known (want v2.1.1, v3, both)`},
		{"an empty endpoint", minimal + `etcd: {endpoints: [a:1, " "]}`, "etcd.endpoints[1]: is empty"},
		{"no endpoint", minimal + "etcd: {secretDir: /secret}", "etcd.endpoints: at least one is required, or configFile"},
		{"etcd.conf and endpoints", minimal + "etcd: {configFile: /etc/etcd.conf, endpoints: [a:1]}", "etcd.configFile: stands in place of endpoints and tls"},
		{"etcd.conf and TLS", minimal + "etcd: {configFile: /etc/etcd.conf, tls: {caFile: /ca}}", "etcd.configFile: stands in place of endpoints and tls"},
		{"etcd.conf's path", minimal + "etcd: {configFile: etcd.conf}", `etcd.configFile: "etcd.conf" is not an absolute path`},
		{"a certificate without key", minimal + "etcd: {endpoints: [a:1], tls: {certFile: /cert}}", "etcd.tls: certFile and keyFile belong together"},
		{"a name without password", minimal + "etcd: {endpoints: [a:1], username: polynic}", "etcd.username: it and passwordFile belong together"},
		{"first id", minimal + "memif: {firstID: 2}", "memif.firstID: 2 is neither 0 nor 1"},
		{"VPP's socket", vpp + "vpp: {apiSocket: api.sock}", `vpp.apiSocket: "api.sock" is not an absolute path`},
		{"VPP's counters", vpp + `vpp: {statsSocket: ""}`, `vpp.statsSocket: "" is not an absolute path`},
		{"VPP's command line", vpp + `vpp: {cliSocket: x}`, `vpp.cliSocket: "x" is not an absolute path`},
		{"odd ring", vpp + "vpp: {tapRingSize: 300}", "vpp.tapRingSize: 300 is not a power of two between 64 and 32768"},
		{"small ring", vpp + "vpp: {tapRingSize: 32}", "vpp.tapRingSize: 32 is not a power of two"},
		{"large ring", vpp + "vpp: {tapRingSize: 65536}", "vpp.tapRingSize: 65536 is not a power of two"},
		{"no ring", vpp + "vpp: {tapRingSize: 0}", "vpp.tapRingSize: 0 is not a power of two"},
		{
			"host's range among the pods", vpp + "network: {subnets: [{cidr: 172.16.0.0/12, nodePrefixLen: 24}]}",
			"network.hostSubnets[0].cidr: 172.30.0.0/16 overlaps network.subnets[0], 172.16.0.0/12: choose another range",
		},
		{
			"host's range of another family", vpp + `network: {hostSubnets: [{cidr: "fd00::/48", nodePrefixLen: 64}]}`,
			"network.hostSubnets: none is of the family of network.subnets[0], 10.1.0.0/16",
		},
		{
			"host's range twice", vpp + "network: {hostSubnets: [{cidr: 172.30.0.0/16, nodePrefixLen: 24}, {cidr: 172.29.0.0/16, nodePrefixLen: 24}]}",
			"network.hostSubnets[1]: 172.29.0.0/16 is a second subnet of its family",
		},
		{"host's range uncut", vpp + "network: {hostSubnets: [{cidr: 172.30.0.0/16}]}", "network.hostSubnets[0].nodePrefixLen: 0 is not longer"},
		{"host's range of nothing", vpp + "network: {hostSubnets: [{nodePrefixLen: 24}]}", "network.hostSubnets[0].cidr: is required"},
		{"host bits", vpp + "network: {hostSubnets: [{cidr: 172.30.0.1/16, nodePrefixLen: 24}]}", "network.hostSubnets[0].cidr: 172.30.0.1/16 has bits set"},
		{"host at loopback", vpp + "network: {hostSubnets: [{cidr: 127.30.0.0/16, nodePrefixLen: 24}]}", "network.hostSubnets[0].cidr: 127.30.0.0/16 overlaps"},
		{
			"node beyond the host's range", vpp + "nodeID: 257\nnetwork: {subnets: [{cidr: 10.0.0.0/8, nodePrefixLen: 24}]}",
			"network.hostSubnets[0].nodePrefixLen: 24 leaves room for 256 nodes, and this one has number 257",
		},
		{"unknown field", minimal + "nodeNames: b", `unknown field "nodeNames"`},
		{"unknown field inside", minimal + "network: {mtus: 1400}", `unknown field "mtus"`},
		{"field twice", minimal + "nodeName: b", `key "nodeName" already set`},
		{"not YAML", "nodeName: [", "yaml"},
		{"a list", "- a", "cannot unmarshal array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := load(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant one with %q", err, c.want)
			}
		})
	}
}

// No pod can be reached at an address that every machine takes for something
// else.
func TestRefusedSubnets(t *testing.T) {
	for cidr, want := range map[string]string{
		"127.0.0.0/8":         "127.0.0.0/8 overlaps 127.0.0.0/8, which is reserved for loopback",
		"127.1.0.0/16":        "overlaps 127.0.0.0/8, which is reserved for loopback",
		"0.0.0.0/8":           "reserved for this host",
		"0.0.0.0/0":           "reserved for this host",
		"169.254.0.0/16":      "reserved for link-local addresses",
		"224.0.0.0/4":         "reserved for multicast",
		"232.1.0.0/16":        "reserved for multicast",
		"255.255.0.0/16":      "reserved for broadcast",
		"::/64":               "reserved for this host and loopback",
		"::ffff:10.1.0.0/112": "IPv4",
		"fe80::/10":           "reserved for link-local addresses",
		"ff00::/8":            "reserved for multicast",
		"ff02::/48":           "reserved for multicast",
	} {
		_, err := load(t, minimal+`network: {subnets: [{cidr: "`+cidr+`", nodePrefixLen: 24}]}`)
		if err == nil || !strings.Contains(err.Error(), "network.subnets[0].cidr: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v\nwant one with %q", cidr, err, want)
		}
	}
	for _, good := range []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "240.0.0.0/8"} {
		if _, err := load(t, minimal+"network: {subnets: [{cidr: "+good+", nodePrefixLen: 24}]}"); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// One run tells everything that is wrong.
func TestAllErrorsAtOnce(t *testing.T) {
	_, err := load(t, "nodeID: -1\ndataplane: ovs\nnetwork: {mtu: 1, subnets: [{cidr: 10.1.0.1/16, nodePrefixLen: 8}]}")
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"nodeName", "nodeID", "dataplane", "podSource", "network.mtu", "network.subnets[0].cidr", "network.subnets[0].nodePrefixLen"} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("nothing about %s in:\n%v", field, err)
		}
	}
}

// The last node that has a range may use it.
func TestBounds(t *testing.T) {
	for _, text := range []string{
		"nodeID: 256\n" + minimal,
		vpp + "vpp: {tapRingSize: 64}",
		vpp + "vpp: {tapRingSize: 32768}",
		vpp + "network: {hostSubnets: [{cidr: 192.168.0.0/24, nodePrefixLen: 29}]}",
		minimal + "network: {subnets: [{cidr: 172.16.0.0/12, nodePrefixLen: 24}]}", // the linux dataplane has no use for the others
		minimal + "network: {mtu: 1280, tapQueues: 16, subnets: [{cidr: 10.1.0.0/16, nodePrefixLen: 29}]}",
		"nodeID: 65535\n" + minimal + `network: {mtu: 65513, subnets: [{cidr: "fd00::/32", nodePrefixLen: 125}]}`,
	} {
		if _, err := load(t, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

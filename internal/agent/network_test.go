// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/model"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// inCluster is the configuration of node "n"; subnets are CIDR/LEN pairs.
func inCluster(id int, subnets ...config.Subnet) config.Config {
	c := config.Default()
	c.NodeName, c.PodSource, c.NodeID = "n", "kubernetes", id
	c.Network.Subnets = subnets
	return c
}

func subnet(cidr string, length int) config.Subnet {
	return config.Subnet{CIDR: netip.MustParsePrefix(cidr), NodePrefixLen: length}
}

func TestRangesOfANode(t *testing.T) {
	both := []config.Subnet{subnet("10.1.0.0/16", 24), subnet("fd00:1::/48", 64)}
	for _, test := range []struct {
		name   string
		config config.Config
		node   model.Node
		want   string // ranges, or a part of the error
	}{
		{"number configured", inCluster(3, both...), model.Node{PodRanges: prefixes("10.9.0.0/24"), ID: 7}, "[10.1.3.0/24 fd00:1:0:3::/64]"},
		{"given by the cluster", inCluster(0, both...), model.Node{PodRanges: prefixes("10.9.0.0/24"), ID: 7}, "[10.9.0.0/24]"},
		{"IPv6 first", inCluster(0), model.Node{PodRanges: prefixes("fd00::/64", "10.9.0.0/24")}, "[10.9.0.0/24 fd00::/64]"},
		{"numbered by the cluster", inCluster(0, both...), model.Node{ID: 256}, "[10.1.0.0/24 fd00:1:0:100::/64]"},
		{"nothing", inCluster(0, both...), model.Node{}, "node n: no spec.podCIDRs"},
		{"number of nothing", inCluster(0), model.Node{ID: 7}, "node n: its number is 7, and network.subnets, of which it would have a share, is not configured"},
		{"number too large", inCluster(0, both...), model.Node{ID: 257}, "node n: pod range 10.1.0.0/16: node id 257 is not between 1 and 256"},
		{"no split", inCluster(0, subnet("10.1.0.0/16", 0)), model.Node{ID: 7}, "node n: pod range 10.1.0.0/16: a node's prefix length 0 is not longer"},
		{"too small", inCluster(0), model.Node{PodRanges: prefixes("10.9.0.0/30")}, "node n: pod range 10.9.0.0/30: no room for pods"},
		{"one family twice", inCluster(0), model.Node{PodRanges: prefixes("10.9.0.0/24", "10.9.0.0/25")}, "is of the same family"},
		{"reserved", inCluster(0), model.Node{PodRanges: prefixes("169.254.8.0/24")}, "node n: pod range 169.254.8.0/24 overlaps 169.254.0.0/16"},
		{"host bits", inCluster(0), model.Node{PodRanges: prefixes("10.9.0.1/24")}, "pod range 10.9.0.1/24: not a network"},
	} {
		got, err := rangesOf(test.config, test.node)
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, test.want) {
			t.Errorf("%s: %s, want %s", test.name, text, test.want)
		}
	}
}

// Pods are seen by their own addresses in the cluster's ranges and in the node's,
// none of which is named twice.
func TestInside(t *testing.T) {
	for _, test := range []struct {
		subnets, ranges []string
		want            string
	}{
		{nil, []string{"10.9.1.0/24", "fd00::/64"}, "[10.9.1.0/24 fd00::/64]"},
		{[]string{"10.9.0.0/16"}, []string{"10.9.1.0/24", "fd00::/64"}, "[10.9.0.0/16 fd00::/64]"},
		{[]string{"10.8.0.0/16"}, []string{"10.9.1.0/24"}, "[10.8.0.0/16 10.9.1.0/24]"},
		{[]string{"10.9.1.0/26"}, []string{"10.9.1.0/24"}, "[10.9.1.0/24]"},
		{[]string{"10.9.1.0/24"}, []string{"10.9.1.0/24"}, "[10.9.1.0/24]"},
	} {
		var subnets []config.Subnet
		for _, s := range test.subnets {
			subnets = append(subnets, subnet(s, 0))
		}
		node, _, err := network(inCluster(0, subnets...), prefixes(test.ranges...))
		if got := fmt.Sprint(node.Default.Inside); err != nil || got != test.want {
			t.Errorf("subnets %s, ranges %s: inside is %s, %v, want %s", test.subnets, test.ranges, got, err, test.want)
		}
	}
}

// Where VPP switches, the node has a link to it, in the families of the pods.
func TestHostLink(t *testing.T) {
	c := inCluster(0)
	c.Dataplane = config.DataplaneVPP
	node, _, err := network(c, prefixes("10.9.1.0/24", "fd00::/64"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "[172.30.1.1/24 fd00:172:30:1::1/64] [172.30.1.2/24 fd00:172:30:1::2/64] [10.9.1.0/24 fd00::/64]"
	if got := fmt.Sprint(node.Host.Switch, node.Host.Host, node.Host.Pods); got != want || node.Default.Table != 1 {
		t.Errorf("link %s, table %d, want %s", got, node.Default.Table, want)
	}
	c.NodeID = 7
	node, _, err = network(c, prefixes("10.9.1.0/24"))
	if got := fmt.Sprint(node.Host.Switch); err != nil || got != "[172.30.7.1/24]" {
		t.Errorf("link of node 7: %s, %v", got, err)
	}
	_, _, err = network(c, prefixes("172.30.0.0/20"))
	const overlap = "network.hostSubnets[0]: 172.30.7.0/24 overlaps the pods' 172.30.0.0/20; choose another range"
	if err == nil || err.Error() != overlap {
		t.Errorf("error %v, want %s", err, overlap)
	}
	c.Dataplane = config.DataplaneLinux
	if node, _, err = network(c, prefixes("172.30.0.0/20")); err != nil || node.Host != nil || node.Default.Table != 0 {
		t.Errorf("on linux: %+v, %v", node, err)
	}
}

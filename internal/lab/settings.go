// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/lab/node"
	"github.com/polynic/polynic/internal/lab/serviceip"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/lab/vpp"
)

// Settings are what a lab is started with. They stay the same until it is
// taken down.
type Settings struct {
	// Dataplane is "linux" or "vpp".
	Dataplane string `json:"dataplane"`
	// VPP is the program that the lab runs; empty where the dataplane is another,
	// and where VPPAPI is the API socket of a VPP that runs already.
	VPP    string `json:"vpp,omitempty"`
	VPPAPI string `json:"vppAPI,omitempty"`
	// Nodes is 1.
	Nodes int `json:"nodes"`
	// IPFamily is "ipv4", "ipv6" or "dual".
	IPFamily string `json:"ipFamily"`
	// Eth0, MTU and TapQueues are as in the agent's configuration.
	Eth0      string `json:"eth0"`
	MTU       int    `json:"mtu"`
	TapQueues int    `json:"tapQueues"`
	// NoEtcd leaves the lab without etcd.
	NoEtcd bool `json:"noEtcd,omitempty"`
	// Services says which services are resolved: "all", "custom" or "off". There is
	// no kube-proxy that would resolve the others.
	Services string `json:"services"`
	// PodSubnets replace the default ones of their families: CIDR, or
	// CIDR,LENGTH to say how long a node's prefix is.
	PodSubnets []string `json:"podSubnets,omitempty"`
}

// EtcdPorts are where etcd is reached at every address of the lab's node: its own
// port, and that of the documents' service. The agent is told the first.
func EtcdPorts() []int { return []int{2379, 32379} }

// EtcdAtNode is etcd as the agent sees it, from within the node: so its words have it.
const EtcdAtNode = "http://127.0.0.1:2379"

// DefaultSettings are those of a lab started without any.
func DefaultSettings() Settings {
	agent := config.Default()
	return Settings{
		Dataplane: agent.Dataplane,
		Nodes:     1,
		IPFamily:  "dual",
		Eth0:      agent.Network.Eth0,
		MTU:       agent.Network.MTU,
		TapQueues: agent.Network.TapQueues,
		Services:  config.ServicesAll,
	}
}

// The pod subnets by default, and how long a node's prefix is.
const (
	defaultSubnet4, nodeLen4 = "10.1.0.0/16", 24
	defaultSubnet6, nodeLen6 = "fd00:10:1::/48", 64
)

// Config is the configuration of the node's agent.
func (s Settings) Config(dir state.Dir) (config.Config, error) {
	files := dir.Node(NodeName)
	c := config.Default()
	c.NodeName = NodeName
	c.NodeID = 1
	c.Dataplane = s.Dataplane
	c.StateDir = files.AgentState()
	c.RunDir = files.Run()
	c.PodNetnsDir = dir.NetnsDir()
	c.PodSource = "dir:" + files.Manifests()
	c.Memif.Enabled = true
	c.Memif.KubeletDir = files.Kubelet()
	c.Network.MTU = s.MTU
	c.Network.Eth0 = s.Eth0
	c.Network.TapQueues = s.TapQueues
	if s.servesEtcd() {
		c.Etcd.Endpoints = []string{EtcdAtNode}
	}
	c.Services.Mode = s.Services
	sockets := vpp.In(string(files)).Sockets()
	if s.VPPAPI != "" {
		sockets = vpp.Beside(s.VPPAPI)
	}
	c.VPP.APISocket, c.VPP.StatsSocket, c.VPP.CLISocket = sockets.API, sockets.Stats, sockets.CLI
	if err := s.checkVPP(string(files)); err != nil {
		return c, err
	}
	subnets, err := s.subnets()
	if err != nil {
		return c, err
	}
	if err := checkUplink(subnets); err != nil {
		return c, err
	}
	if err := checkServiceRanges(subnets); err != nil {
		return c, err
	}
	c.Network.Subnets = subnets
	if s.Nodes != 1 {
		return c, fmt.Errorf("--nodes %d: a lab has one node in this version", s.Nodes)
	}
	if err := s.checkHostLink(c.Network); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("settings of the lab: %w", err)
	}
	return c, nil
}

// checkVPP says what is wrong with what is said of VPP.
func (s Settings) checkVPP(folder string) error {
	switch {
	case s.VPPAPI != "" && s.Dataplane != config.DataplaneVPP:
		return fmt.Errorf("--vpp-api %s is of use with --dataplane vpp only", s.VPPAPI)
	case s.VPPAPI != "" && !filepath.IsAbs(s.VPPAPI):
		return fmt.Errorf("--vpp-api %q is not an absolute path", s.VPPAPI)
	case s.Dataplane == config.DataplaneVPP:
		return vpp.Check(folder)
	}
	return nil
}

// checkHostLink says with which range of the link between VPP and the node a
// subnet overlaps.
func (s Settings) checkHostLink(n config.Network) error {
	if s.Dataplane != config.DataplaneVPP {
		return nil
	}
	for _, pods := range n.Subnets {
		for _, host := range n.HostSubnets {
			if pods.CIDR.Overlaps(host.CIDR) {
				return fmt.Errorf("--pod-subnet %s overlaps %s, the link between VPP and the lab's node; choose another range", pods.CIDR, host.CIDR)
			}
		}
	}
	return nil
}

// runsVPP reports whether VPP is one of the lab's own programs.
func (s Settings) runsVPP() bool { return s.Dataplane == config.DataplaneVPP && s.VPPAPI == "" }

// EtcdAbsence says why the lab has no etcd, and what to do; nil where it has one.
func (s Settings) EtcdAbsence() error {
	switch {
	case s.servesEtcd():
		return nil
	case s.NoEtcd:
		return errors.New("the lab was started with --no-etcd (take it down, and up without)")
	default:
		return errors.New("the lab was started with --vpp-api (on a node that is others' as well it serves none)")
	}
}

// servesEtcd reports whether the lab has an etcd: not where the node is a
// namespace that others use, whose ports are theirs.
func (s Settings) servesEtcd() bool { return !s.NoEtcd && s.VPPAPI == "" }

func (s Settings) equal(o Settings) bool {
	return s.NoEtcd == o.NoEtcd && s.Services == o.Services && s.Dataplane == o.Dataplane && s.VPP == o.VPP && s.VPPAPI == o.VPPAPI &&
		s.Nodes == o.Nodes && s.IPFamily == o.IPFamily && s.Eth0 == o.Eth0 &&
		s.MTU == o.MTU && s.TapQueues == o.TapQueues && slices.Equal(s.PodSubnets, o.PodSubnets)
}

// subnets lists one subnet for each family, IPv4 first.
func (s Settings) subnets() ([]config.Subnet, error) {
	v4, v6 := s.IPFamily != "ipv6", s.IPFamily != "ipv4"
	if !slices.Contains([]string{"ipv4", "ipv6", "dual"}, s.IPFamily) {
		return nil, fmt.Errorf("--ip-family %q is not known (want ipv4, ipv6 or dual)", s.IPFamily)
	}
	var all []config.Subnet
	if v4 {
		all = append(all, config.Subnet{CIDR: netip.MustParsePrefix(defaultSubnet4), NodePrefixLen: nodeLen4})
	}
	if v6 {
		all = append(all, config.Subnet{CIDR: netip.MustParsePrefix(defaultSubnet6), NodePrefixLen: nodeLen6})
	}
	for _, text := range s.PodSubnets {
		subnet, err := parseSubnet(text)
		if err != nil {
			return nil, fmt.Errorf("--pod-subnet %s: %w", text, err)
		}
		i := slices.IndexFunc(all, func(o config.Subnet) bool { return o.CIDR.Addr().Is4() == subnet.CIDR.Addr().Is4() })
		if i < 0 {
			return nil, fmt.Errorf("--pod-subnet %s is not of the family that --ip-family %s asks for", text, s.IPFamily)
		}
		all[i] = subnet
	}
	return all, nil
}

// checkUplink says with which network of the lab's own a subnet overlaps: the
// node would look for its outside among the pods.
func checkUplink(subnets []config.Subnet) error {
	for _, s := range subnets {
		for _, uplink := range node.Uplink() {
			if s.CIDR.Overlaps(uplink) {
				return fmt.Errorf("--pod-subnet %s overlaps %s, the link from the lab's node to the outside; choose another range", s.CIDR, uplink.Masked())
			}
		}
	}
	return nil
}

// checkServiceRanges says with which range of the services' addresses a subnet
// overlaps.
func checkServiceRanges(subnets []config.Subnet) error {
	for _, s := range subnets {
		for _, text := range []string{serviceip.Range4, serviceip.Range6} {
			if services := netip.MustParsePrefix(text); s.CIDR.Overlaps(services) {
				return fmt.Errorf("--pod-subnet %s overlaps %s, the addresses of services; choose another range", s.CIDR, services)
			}
		}
	}
	return nil
}

// parseSubnet reads CIDR or CIDR,LENGTH.
func parseSubnet(text string) (config.Subnet, error) {
	cidr, length, given := strings.Cut(text, ",")
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return config.Subnet{}, fmt.Errorf("want CIDR or CIDR,LENGTH, as in 10.1.0.0/16,24: %w", err)
	}
	subnet := config.Subnet{CIDR: prefix, NodePrefixLen: nodeLen6}
	if prefix.Addr().Is4() {
		subnet.NodePrefixLen = nodeLen4
	}
	if !given {
		return subnet, nil
	}
	if subnet.NodePrefixLen, err = strconv.Atoi(length); err != nil {
		return config.Subnet{}, fmt.Errorf("length of a node's prefix: %w", err)
	}
	return subnet, nil
}

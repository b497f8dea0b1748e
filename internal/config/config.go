// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package config is the agent's configuration: one struct, its defaults and
// its validation. It is read once, at start, from one YAML or JSON file.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"sigs.k8s.io/yaml"
)

// Config is the whole configuration of one agent.
type Config struct {
	// NodeName is this node's name; where it is empty, the environment's
	// NODE_NAME is.
	NodeName string `json:"nodeName"`
	// NodeID numbers the node's share of the pod network, 1 to 65535. 0 is not
	// given: in a cluster the node's own ranges are taken then.
	NodeID int `json:"nodeID"`
	// Dataplane is what switches: "linux", the kernel, or "vpp".
	Dataplane string `json:"dataplane"`
	// StateDir holds what must survive a reboot: the journal and the
	// tombstones left by DELs that found no agent. Mode 0700.
	StateDir string `json:"stateDir"`
	// RunDir holds sockets and pinned namespaces; it may vanish at a reboot.
	RunDir string `json:"runDir"`
	// PodNetnsDir is where the container runtime keeps the namespaces of pods.
	// It is read where the journal was lost only.
	PodNetnsDir string `json:"podNetnsDir"`
	// MountNamespace is where the namespaces of networks are pinned, a path such
	// as /proc/1/ns/mnt: the node's, for an agent in a container. Empty is the
	// agent's own.
	MountNamespace string `json:"mountNamespace"`
	// SysctlDir holds the kernel's settings, net among them. In a container,
	// where /proc/sys can only be read, it is a mount of the node's.
	SysctlDir string `json:"sysctlDir"`
	// PodSource says where pods are read from: "kubernetes", the API server, or
	// "dir:PATH", a folder of manifests.
	PodSource string `json:"podSource"`
	// Kubernetes is how the API server is reached.
	Kubernetes Kubernetes `json:"kubernetes"`
	// Network is the pod network.
	Network Network `json:"network"`
	// Services is which Kubernetes services are resolved.
	Services Services `json:"services"`
	// Memif is how containers get memif interfaces.
	Memif Memif `json:"memif"`
	// VPP is how VPP is reached, where it is what switches.
	VPP VPP `json:"vpp"`
	// Etcd is how etcd is reached, where the agents of pods are told what is theirs.
	Etcd Etcd `json:"etcd"`
	// RepairInterval is how often everything is compared with the dataplane,
	// beside the comparisons that events cause.
	RepairInterval Duration `json:"repairInterval"`
	// SweepInterval is how often sandboxes are looked for whose namespace went
	// without a DEL.
	SweepInterval Duration `json:"sweepInterval"`
	// AwayLimit is how long agent or dataplane may be away before the CNI verb
	// STATUS says so (and the node turns NotReady), and memif devices are
	// unhealthy.
	AwayLimit Duration `json:"awayLimit"`
}

// Network is the configuration of the default pod network.
type Network struct {
	// Subnets are the cluster's pod ranges, at most one per family. Where nodes are
	// numbered, each is cut into one range per node.
	Subnets []Subnet `json:"subnets"`
	// HostSubnets are the ranges, at most one per family, of the link between VPP
	// and the node's kernel, where VPP switches. Each is cut into one range per
	// node, of which the first address is VPP's, and the second the node's.
	HostSubnets []Subnet `json:"hostSubnets"`
	// MTU of every pod interface, in bytes, 1280 to 65513.
	MTU int `json:"mtu"`
	// Eth0 is the type of the pod's main interface: "auto" (veth on linux, tap
	// on VPP), "tap" or "veth".
	Eth0 string `json:"eth0"`
	// TapQueues is the number of queue pairs of a tap, and of a memif's twin, 1 to
	// 16.
	TapQueues int `json:"tapQueues"`
	// Masquerade hides pods behind the node's address towards everything
	// outside the pod subnets.
	Masquerade *bool `json:"masquerade"`
}

// Kubernetes is the configuration of the way to the API server.
type Kubernetes struct {
	// Kubeconfig is the path of a kubeconfig file; empty is the service account of
	// the pod that the agent runs in.
	Kubeconfig string `json:"kubeconfig"`
	// NetworkStatus has pods annotated with their interfaces. It is to be off where
	// another plugin, which has polynic make the pods' main interfaces, does that.
	NetworkStatus bool `json:"networkStatus"`
}

// Subnet is one pod range and how it is cut.
type Subnet struct {
	CIDR netip.Prefix `json:"cidr"`
	// NodePrefixLen is the length of one node's range; it must be longer than
	// the subnet's and leave at least 3 host bits. 0 where the cluster gives nodes
	// their ranges.
	NodePrefixLen int `json:"nodePrefixLen"`
}

// Memif is the configuration of the memif device plugin.
type Memif struct {
	// Enabled offers memif devices to kubelet.
	Enabled bool `json:"enabled"`
	// KubeletDir is kubelet's folder (its flag --root-dir).
	KubeletDir string `json:"kubeletDir"`
	// Devices is how many devices the node offers, 1 to 10000.
	Devices int `json:"devices"`
	// FirstID is the id of a pod's first memif interface, 0 or 1.
	FirstID int `json:"firstID"`
	// AcceptUnsealed lets in applications whose shared memory they could take away
	// again, as DPDK's in zero-copy mode. One that does ends its own connection.
	AcceptUnsealed bool `json:"acceptUnsealed"`
}

// Services is the configuration of Kubernetes services.
type Services struct {
	// Mode says which are resolved: "custom", those of which an endpoint is at a custom
	// interface, the others being kube-proxy's; "all"; or "off". Empty is "custom"
	// with linux, and "all" with vpp.
	Mode string `json:"mode"`
}

// VPP is the configuration of the dataplane that is VPP.
type VPP struct {
	// APISocket is where VPP takes binary API messages, and StatsSocket where it
	// hands out its counters. VPP runs in the network namespace that the agent has.
	APISocket   string `json:"apiSocket"`
	StatsSocket string `json:"statsSocket"`
	// CLISocket is where people ask VPP; the agent does not use it.
	CLISocket string `json:"cliSocket"`
	// TapRingSize is the number of slots of each ring of a tap that VPP holds: a
	// power of two, 64 to 32768.
	TapRingSize int `json:"tapRingSize"`
}

// Duration is a time.Duration that is written as text ("30s").
type Duration struct{ time.Duration }

// MarshalText renders the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses the form of time.ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	d.Duration = parsed
	return nil
}

// sourceKubernetes is the PodSource that is the API server.
const sourceKubernetes = "kubernetes"

// nodeNameEnv is where a DaemonSet tells its pods the node's name.
const nodeNameEnv = "NODE_NAME"

// The dataplanes.
const (
	DataplaneLinux = "linux"
	DataplaneVPP   = "vpp"
)

// The modes of services.
const (
	ServicesCustom = "custom"
	ServicesAll    = "all"
	ServicesOff    = "off"
)

// ServiceMode is which services are resolved; by itself what suits the dataplane.
func (c Config) ServiceMode() string {
	switch {
	case c.Services.Mode != "":
		return c.Services.Mode
	case c.Dataplane == DataplaneVPP:
		return ServicesAll
	default:
		return ServicesCustom
	}
}

// InCluster reports whether pods, and the node, are those of a cluster's API
// server.
func (c Config) InCluster() bool { return c.PodSource == sourceKubernetes }

// Default is the configuration of a file that says nothing: Contiv's pod
// subnet, and no node name, which must be given. In a cluster there is no default
// for what the cluster gives: the node's number and the subnets.
func Default() Config {
	yes := true
	return Config{
		NodeID:      1,
		Dataplane:   DataplaneLinux,
		StateDir:    "/var/lib/polynic",
		RunDir:      "/run/polynic",
		PodNetnsDir: "/run/netns",
		SysctlDir:   "/proc/sys",
		Network: Network{
			Subnets: []Subnet{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), NodePrefixLen: 24}},
			HostSubnets: []Subnet{
				{CIDR: netip.MustParsePrefix("172.30.0.0/16"), NodePrefixLen: 24},
				{CIDR: netip.MustParsePrefix("fd00:172:30::/48"), NodePrefixLen: 64},
			},
			MTU:        1450,
			Eth0:       "auto",
			TapQueues:  1,
			Masquerade: &yes,
		},
		Kubernetes: Kubernetes{NetworkStatus: true},
		Memif:      Memif{KubeletDir: "/var/lib/kubelet", Devices: 100},
		VPP: VPP{
			APISocket: "/run/vpp/api.sock", StatsSocket: "/run/vpp/stats.sock", CLISocket: "/run/vpp/cli.sock",
			TapRingSize: 256, // as Contiv-VPP had it
		},
		Etcd:           Etcd{KeyForm: "both"},
		RepairInterval: Duration{30 * time.Second},
		SweepInterval:  Duration{5 * time.Minute},
		AwayLimit:      Duration{time.Minute},
	}
}

// Load reads the file over the defaults and validates the outcome. A field the
// configuration does not have is an error that names it.
func Load(path string) (Config, error) {
	c := Default()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("configuration: %w; give the file with --config", err)
	}
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	// A list is read over the elements that are there, which would give the
	// file's first subnet what it does not say from the default one.
	subnets, host, id := c.Network.Subnets, c.Network.HostSubnets, c.NodeID
	c.Network.Subnets, c.Network.HostSubnets, c.NodeID = nil, nil, 0
	if len(bytes.TrimSpace(data)) > 0 {
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			return c, fmt.Errorf("configuration %s: %w", path, err)
		}
	}
	if c.NodeName == "" {
		c.NodeName = os.Getenv(nodeNameEnv)
	}
	if c.Network.Subnets == nil && !c.InCluster() {
		c.Network.Subnets = subnets
	}
	if c.Network.HostSubnets == nil {
		c.Network.HostSubnets = host
	}
	if c.NodeID == 0 && !c.InCluster() {
		c.NodeID = id
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

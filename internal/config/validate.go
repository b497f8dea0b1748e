// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/polynic/polynic/api/podif"
)

// Bounds of the settings.
const (
	MinMTU = 1280 // the least that IPv6 works with (RFC 8200, section 5)
	// MaxMTU is what every type of interface can have: 65,535 bytes of a memif's
	// packet, less an Ethernet header with two VLAN tags. A tap's could be 8 more.
	MaxMTU       = 65513
	MaxTapQueues = 16
	MaxNodeID    = 65535

	MaxMemifDevices = 10000

	MinTapRingSize = 64
	MaxTapRingSize = 32768 // VPP's
)

// Validate reports everything wrong, each with the path of its field.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	if c.NodeName == "" {
		bad("nodeName", "is required (or %s in the environment)", nodeNameEnv)
	}
	if c.NodeID < 1 && !c.InCluster() || c.NodeID < 0 || c.NodeID > MaxNodeID {
		bad("nodeID", "%d is not between 1 and %d", c.NodeID, MaxNodeID)
	}
	for field, dir := range map[string]string{
		"stateDir": c.StateDir, "runDir": c.RunDir, "podNetnsDir": c.PodNetnsDir,
		"sysctlDir": c.SysctlDir, "mountNamespace": cmp.Or(c.MountNamespace, "/"),
	} {
		if !filepath.IsAbs(dir) {
			bad(field, "%q is not an absolute path", dir)
		}
	}
	if path, ok := strings.CutPrefix(c.PodSource, "dir:"); !c.InCluster() && (!ok || !filepath.IsAbs(path)) {
		bad("podSource", "%q is neither kubernetes nor of the form dir:/PATH", c.PodSource)
	}
	if k := c.Kubernetes.Kubeconfig; k != "" && !filepath.IsAbs(k) {
		bad("kubernetes.kubeconfig", "%q is not an absolute path", k)
	}
	if c.RepairInterval.Duration <= 0 {
		bad("repairInterval", "%s is not positive", c.RepairInterval)
	}
	if c.SweepInterval.Duration <= 0 {
		bad("sweepInterval", "%s is not positive", c.SweepInterval)
	}
	if c.AwayLimit.Duration <= 0 {
		bad("awayLimit", "%s is not positive", c.AwayLimit)
	}
	if len(c.Network.Subnets) == 0 && !c.InCluster() {
		bad("network.subnets", "at least one is required")
	}
	if len(c.Network.Subnets) == 0 && c.InCluster() && c.NodeID > 0 {
		bad("network.subnets", "is required with nodeID, which is the number of a share of it; without nodeID the node's podCIDRs are taken")
	}
	errs = append(errs, c.Network.validate(c.NodeID)...)
	errs = append(errs, c.Memif.validate()...)
	errs = append(errs, c.validateDataplane()...)
	errs = append(errs, c.Etcd.validate()...)
	return errors.Join(errs...)
}

func (n Network) validate(nodeID int) []error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("network."+field+": "+format, args...))
	}
	if n.MTU < MinMTU || n.MTU > MaxMTU {
		bad("mtu", "%d is not between %d and %d", n.MTU, MinMTU, MaxMTU)
	}
	if n.TapQueues < 1 || n.TapQueues > MaxTapQueues {
		bad("tapQueues", "%d is not between 1 and %d", n.TapQueues, MaxTapQueues)
	}
	if _, err := n.eth0Type(podif.Veth); err != nil {
		bad("eth0", "%w", err)
	}
	families := map[bool]bool{}
	for i, s := range n.Subnets {
		field := fmt.Sprintf("subnets[%d]", i)
		if !s.CIDR.IsValid() {
			bad(field+".cidr", "is required")
			continue
		}
		if families[s.CIDR.Addr().Is4()] {
			bad(field, "%s is a second subnet of its family", s.CIDR)
		}
		families[s.CIDR.Addr().Is4()] = true
		if s.CIDR != s.CIDR.Masked() {
			bad(field+".cidr", "%s has bits set beyond its length", s.CIDR)
		}
		if err := CheckReserved(s.CIDR); err != nil {
			bad(field+".cidr", "%w", err)
		}
		// A cluster that gives nodes their ranges says nothing of how they are cut.
		if nodeID == 0 && s.NodePrefixLen == 0 {
			continue
		}
		if err := s.validateSplit(nodeID); err != nil {
			bad(field+".nodePrefixLen", "%w", err)
		}
	}
	return errs
}

func (m Memif) validate() []error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("memif."+field+": "+format, args...))
	}
	if !filepath.IsAbs(m.KubeletDir) {
		bad("kubeletDir", "%q is not an absolute path", m.KubeletDir)
	}
	if m.Devices < 1 || m.Devices > MaxMemifDevices {
		bad("devices", "%d is not between 1 and %d", m.Devices, MaxMemifDevices)
	}
	if m.FirstID < 0 || m.FirstID > 1 {
		bad("firstID", "%d is neither 0 nor 1", m.FirstID)
	}
	return errs
}

func (s Subnet) validateSplit(nodeID int) error {
	bits := s.NodePrefixLen - s.CIDR.Bits()
	if bits <= 0 {
		return fmt.Errorf("%d is not longer than the subnet's %d", s.NodePrefixLen, s.CIDR.Bits())
	}
	if s.NodePrefixLen > s.CIDR.Addr().BitLen()-3 {
		return fmt.Errorf("%d leaves no room for pods", s.NodePrefixLen)
	}
	if float64(nodeID) > math.Pow(2, float64(bits)) {
		return fmt.Errorf("%d leaves room for %d nodes, and this one has number %d", s.NodePrefixLen, 1<<bits, nodeID)
	}
	return nil
}

// Eth0Type is the type of the main interface; by itself what suits the dataplane.
func (c Config) Eth0Type() (podif.Type, error) {
	if c.Dataplane == DataplaneVPP {
		return c.Network.eth0Type(podif.Tap)
	}
	return c.Network.eth0Type(podif.Veth)
}

func (n Network) eth0Type(auto podif.Type) (podif.Type, error) {
	switch n.Eth0 {
	case "auto":
		return auto, nil
	case "tap", "veth":
		return podif.ParseType(n.Eth0)
	default:
		return 0, fmt.Errorf("%q is not known (want auto, tap or veth)", n.Eth0)
	}
}

// MasqueradeOn reports whether pods are hidden behind the node; the default is
// yes.
func (n Network) MasqueradeOn() bool { return n.Masquerade == nil || *n.Masquerade }

// CNISocket is the agent's socket for polynic-cni.
func (c Config) CNISocket() string { return filepath.Join(c.RunDir, "cni.sock") }

// InspectSocket is the agent's read-only socket for people and programs.
func (c Config) InspectSocket() string { return filepath.Join(c.RunDir, "inspect.sock") }

// RelaySocket is where the relay listens.
func (c Config) RelaySocket() string { return filepath.Join(c.RunDir, "relay.sock") }

// NetnsDir is where namespaces of custom and stub networks are pinned.
func (c Config) NetnsDir() string { return filepath.Join(c.RunDir, "netns") }

// MemifDir is where the folders are that containers with memif devices see.
func (c Config) MemifDir() string { return filepath.Join(c.RunDir, "memif") }

// SwitchDir is where the sockets between the relay and a switch that is a process
// are.
func (c Config) SwitchDir() string { return filepath.Join(c.RunDir, "switch") }

// TombstoneDir is where polynic-cni leaves DELs that the agent did not answer.
func (c Config) TombstoneDir() string { return filepath.Join(c.StateDir, "tombstones") }

// JournalFile is the durable record of attachments.
func (c Config) JournalFile() string { return filepath.Join(c.StateDir, "journal") }

// NodeFile is the record of what the cluster said of the node.
func (c Config) NodeFile() string { return filepath.Join(c.StateDir, "node.json") }

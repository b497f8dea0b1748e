// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package preflight looks at a node before polynic comes to it: what is missing,
// what is in the way, and what to do about it. It changes nothing; what the
// kernel can is tried in a network namespace that goes again.
package preflight

import (
	"context"
	"net/netip"
	"path/filepath"

	"github.com/polynic/polynic/internal/install"
)

// Level says what a finding means.
type Level string

// The levels.
const (
	// OK: as it has to be.
	OK Level = "ok"
	// Warning: polynic works, and something beside it does not.
	Warning Level = "warning"
	// Missing: polynic does not work.
	Missing Level = "missing"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Check is its name, the same on every node.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Found is what there is; Advice what to do where that is not enough.
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// Config is what is looked at.
type Config struct {
	install.Node
	// Root is where the node's files are; / on the node itself.
	Root       string
	KubeletDir string
	// NetnsDir is where the container runtime keeps the namespaces of pods.
	NetnsDir string
	// Proc is where processes are shown; mounts are those of process 1.
	Proc string
	// Pods are the ranges of the node's pods, where they are known.
	Pods []netip.Prefix
	// VPP is looked at where it is what switches; nil elsewhere.
	VPP *VPP
}

// DefaultVPP is a VPP with its packages' configuration, on a node without a number.
func DefaultVPP() VPP {
	return VPP{
		CLISocket: "/run/vpp/cli.sock", Versions: []string{"25.10", "26.06"},
		HostShares: []netip.Prefix{netip.MustParsePrefix("172.30.1.0/24"), netip.MustParsePrefix("fd00:172:30:1::/64")},
	}
}

// Default is a node of whose files and folders nothing is unusual.
func Default() Config {
	return Config{Node: install.DefaultNode(), Root: "/", KubeletDir: "/var/lib/kubelet", NetnsDir: "/run/netns", Proc: "/proc"}
}

// path is where a file of the node is.
func (c Config) path(elements ...string) string {
	return filepath.Join(append([]string{c.Root}, elements...)...)
}

// Run looks at everything, in an order that is always the same.
func (c Config) Run(ctx context.Context) []Finding {
	findings := []Finding{c.capabilities()}
	findings = append(findings, kernel(ctx)...)
	findings = append(findings, c.shared("namespaces of pods", c.NetnsDir), c.shared("namespaces of networks", c.RunDir))
	findings = append(findings, c.plugins(), c.configurations(), c.kubelet(), c.contiv())
	findings = append(findings, c.networks()...)
	if c.VPP != nil {
		findings = append(findings, c.vpp(ctx)...)
	}
	return findings
}

// Usable reports whether polynic would work.
func Usable(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == Missing {
			return false
		}
	}
	return true
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/vppcli"
)

// VPP is where a node has VPP.
type VPP struct {
	// CLISocket is that of its command line (cli-listen).
	CLISocket string
	// HostShares are the node's shares of the ranges for its link to VPP.
	HostShares []netip.Prefix
	// Versions are those that polynic was tried with: 25.10, say.
	Versions []string
}

// askLimit bounds asking VPP one thing.
const askLimit = 5 * time.Second

// plugin is one that polynic has use for, what there is not without it, and how bad
// that is.
type plugin struct {
	name, lacks string
	level       Level
}

func pluginsOfVPP() []plugin {
	return []plugin{
		{"memif", "memifs and taps", Missing},
		{"af_packet", "veths, and no link to the node", Missing},
		{"urpf", "check that pods send from their own addresses", Warning},
		{"cnat", "services in VPP, which leaves what pods send to them to the node", Warning},
	}
}

// vpp looks at the VPP that switches on the node.
func (c Config) vpp(ctx context.Context) []Finding {
	running := Finding{Check: "VPP", Level: OK}
	said, err := c.askVPP(ctx, "show version")
	if err != nil {
		running.Level, running.Found = Warning, err.Error()
		running.Advice = "pods wait until VPP runs: deploy/overlays/vpp has it in a pod of its own, for which nothing is to be done here; " +
			"one that the node runs itself is to be started"
		return []Finding{running}
	}
	running.Found = said + " answers at " + c.VPP.CLISocket
	version := regexp.MustCompile(`v(\d+\.\d+)`).FindStringSubmatch(said)
	if version == nil || !slices.Contains(c.VPP.Versions, version[1]) {
		running.Level = Warning
		running.Advice = "polynic was tried with " + strings.Join(c.VPP.Versions, " and ") +
			"; the agent checks each message that it uses, and names one that this VPP has not"
	}
	return []Finding{running, c.pluginsOf(ctx), c.tapsOf()}
}

// tapsOf says who has the taps.
func (c Config) tapsOf() Finding {
	const device = "/dev/vhost-net"
	f := Finding{Check: "taps", Level: OK, Found: "the relay holds the taps, and joins VPP by memif: there is no " + device}
	if _, err := os.Stat(c.path(device)); err == nil {
		f.Found = device + " is there: VPP has taps of its own where it may open that and enter the pods' namespaces, as in deploy/overlays/vpp-taps; else the relay holds them"
	}
	return f
}

func (c Config) pluginsOf(ctx context.Context) Finding {
	f := Finding{Check: "VPP's plugins", Level: OK}
	said, err := c.askVPP(ctx, "show plugins")
	if err != nil {
		f.Level, f.Found = Missing, err.Error()
		return f
	}
	var there, lacking, names []string
	for _, p := range pluginsOfVPP() {
		if strings.Contains(said, p.name+"_plugin.so") {
			there = append(there, p.name)
			continue
		}
		names = append(names, p.name)
		lacking = append(lacking, p.name+" is not loaded: no "+p.lacks)
		if f.Level != Missing {
			f.Level = p.level
		}
	}
	f.Found = strings.Join(there, ", ") + " are loaded"
	if lacking != nil {
		f.Found = strings.Join(lacking, "; ")
		f.Advice = fmt.Sprintf("in VPP's startup.conf: plugins { plugin %s_plugin.so { enable } }", strings.Join(names, "_plugin.so { enable } plugin "))
	}
	return f
}

func (c Config) askVPP(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var said strings.Builder
	if err := vppcli.Run(ctx, c.path(c.VPP.CLISocket), command, &said); err != nil {
		return "", err
	}
	return strings.TrimSpace(said.String()), nil
}

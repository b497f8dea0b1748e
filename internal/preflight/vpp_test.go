// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/preflight"
	"github.com/polynic/polynic/internal/unixsock"
	"github.com/polynic/polynic/test/need"
)

// serveVPP answers commands at the socket of VPP's command line, as VPP does.
func serveVPP(t *testing.T, c preflight.Config, answers map[string]string) {
	t.Helper()
	socket := filepath.Join(c.Root, c.VPP.CLISocket)
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := unixsock.Listen(t.Context(), socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answerVPP(conn, answers)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
}

func answerVPP(conn net.Conn, answers map[string]string) {
	defer conn.Close()
	if _, err := conn.Write([]byte{255, 250, 24, 1, 255, 240}); err != nil { // what terminal is it?
		return
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		return
	}
	_, command, _ := bytes.Cut(buffer[:n], []byte{255, 240})
	_, _ = conn.Write([]byte(answers[strings.TrimSpace(string(command))] + "\x00")) // it may have gone
}

const (
	version = "vpp v25.10-release built by root on vm at 2026-11-28T22:18:22\n"
	plugins = " Plugin path is: /usr/lib/vpp_plugins\n  1. memif_plugin.so  25.10-release  Packet Memory Interface\n  2. af_packet_plugin.so  25.10-release  af-packet\n  3. urpf_plugin.so  25.10-release  Unicast Reverse Path Forwarding (uRPF)\n  4. cnat_plugin.so  25.10-release  CNat Translate\n"
)

func TestVPP(t *testing.T) {
	type finding struct {
		level         preflight.Level
		found, advice string
	}
	for name, c := range map[string]struct {
		answers map[string]string // nil: there is no VPP
		files   []string          // that are there beside
		want    map[string]finding
	}{
		"good": {
			answers: map[string]string{"show version": version, "show plugins": plugins},
			want: map[string]finding{
				"VPP":           {preflight.OK, "vpp v25.10-release built by root on vm at 2026-11-28T22:18:22 answers at /run/vpp/cli.sock", ""},
				"VPP's plugins": {preflight.OK, "memif, af_packet, urpf, cnat are loaded", ""},
			},
		},
		"none": {
			want: map[string]finding{
				"VPP": {preflight.Warning, "VPP's command line at ", "deploy/overlays/vpp has it in a pod of its own"},
			},
		},
		"another version": {
			answers: map[string]string{"show version": "vpp v24.06-release\n", "show plugins": plugins},
			want:    map[string]finding{"VPP": {preflight.Warning, "vpp v24.06-release answers", "tried with 25.10 and 26.06;"}},
		},
		"without vhost-net": {
			answers: map[string]string{"show version": version, "show plugins": plugins},
			want:    map[string]finding{"taps": {preflight.OK, "the relay holds the taps, and joins VPP by memif: there is no /dev/vhost-net", ""}},
		},
		"with vhost-net": {
			answers: map[string]string{"show version": version, "show plugins": plugins},
			files:   []string{"dev/vhost-net"},
			want:    map[string]finding{"taps": {preflight.OK, "/dev/vhost-net is there: VPP has taps of its own where it may open that and enter the pods' namespaces, as in deploy/overlays/vpp-taps", ""}},
		},
		"without a source check": {
			answers: map[string]string{"show version": version, "show plugins": strings.ReplaceAll(plugins, "urpf", "mpls")},
			want: map[string]finding{
				"VPP's plugins": {
					preflight.Warning, "urpf is not loaded: no check that pods send from their own addresses",
					"plugins { plugin urpf_plugin.so { enable } }",
				},
			},
		},
		"without memif": {
			answers: map[string]string{"show version": version, "show plugins": strings.ReplaceAll(plugins, "memif", "mpls")},
			want: map[string]finding{
				"VPP's plugins": {
					preflight.Missing, "memif is not loaded: no memifs and taps",
					"plugins { plugin memif_plugin.so { enable } }",
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := node(t)
			vpp := preflight.DefaultVPP()
			config.VPP = &vpp
			for _, path := range c.files {
				path = filepath.Join(config.Root, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if c.answers != nil {
				serveVPP(t, config, c.answers)
			}
			seen := 0
			for _, f := range config.Run(t.Context()) {
				want, ok := c.want[f.Check]
				if !ok {
					continue
				}
				seen++
				if f.Level != want.level || !strings.Contains(f.Found, want.found) || !strings.Contains(f.Advice, want.advice) {
					t.Errorf("%+v\nwant %+v", f, want)
				}
			}
			if seen != len(c.want) {
				t.Errorf("%d findings of %d", seen, len(c.want))
			}
		})
	}
}

// Ranges of which the node has something already are told of, and what to do.
func TestNetworks(t *testing.T) {
	need.Root(t)
	for _, line := range []string{"link add lan type bridge", "link set lan up", "addr add 192.0.2.9/24 dev lan"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", "lan").Run() })
	find := func(pods string, shares ...string) (found preflight.Finding) {
		t.Helper()
		looked := node(t)
		if pods != "" {
			looked.Pods = []netip.Prefix{netip.MustParsePrefix(pods)}
		}
		if len(shares) > 0 {
			vpp := preflight.DefaultVPP()
			vpp.HostShares = nil
			for _, share := range shares {
				vpp.HostShares = append(vpp.HostShares, netip.MustParsePrefix(share))
			}
			looked.VPP = &vpp
		}
		for _, f := range looked.Run(t.Context()) {
			if f.Check == "networks of the node" {
				found = f
			}
		}
		return found
	}
	const check = "networks of the node"
	for name, c := range map[string]struct{ got, want preflight.Finding }{
		"nothing to compare": {find(""), preflight.Finding{}},
		"good": {
			find("10.1.1.0/24", "172.30.1.0/24", "fd00:172:30:1::/64"),
			preflight.Finding{Check: check, Level: preflight.OK, Found: "none is in the way of 10.1.1.0/24 172.30.1.0/24 fd00:172:30:1::/64"},
		},
		"the link": {
			find("10.1.1.0/24", "192.0.2.128/25"),
			preflight.Finding{
				Check: check, Level: preflight.Missing, Found: "192.0.2.128/25 is to be the node's link to VPP, and overlaps 192.0.2.9/24 of lan",
				Advice: "choose another range for network.hostSubnets (--host-subnets looks at it)",
			},
		},
		"pods": {
			find("192.0.0.0/16"),
			preflight.Finding{
				Check: check, Level: preflight.Warning, Found: "192.0.0.0/16 is to be pods', and overlaps 192.0.2.9/24 of lan",
				Advice: "choose another range for pods (network.subnets, or the cluster's), or take that away",
			},
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v\nwant %+v", name, c.got, c.want)
		}
	}
}

// What is looked at without flags are shares of the agent's own ranges.
func TestDefaultShares(t *testing.T) {
	ranges := config.Default().Network.HostSubnets
	for i, share := range preflight.DefaultVPP().HostShares {
		if !ranges[i].CIDR.Contains(share.Addr()) || share.Bits() != ranges[i].NodePrefixLen {
			t.Errorf("%s is no node's share of %v", share, ranges[i])
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// trial is something that the kernel is asked to do in a namespace of no use.
type trial struct {
	check, found, advice string
	lack                 Level // what it is that the kernel cannot
	do                   func(context.Context, *netns.Handle) error
}

func trials() []trial {
	return []trial{
		{
			"tap devices", "/dev/net/tun makes taps", "load the module tun (modprobe tun; for good: a line in /etc/modules-load.d)", Missing, makeTap,
		},
		{
			"veth pairs", "the kernel makes them", "load the module veth (modprobe veth; for good: a line in /etc/modules-load.d)", Missing, makeVeth,
		},
		{
			"nf_tables", "nft makes tables with fib and masquerade",
			"load the modules nf_tables, nft_fib_inet and nft_masq; where there is no nft, that of the image is used", Missing,
			func(ctx context.Context, _ *netns.Handle) error { return makeTable(ctx, ruleset) },
		},
		{
			"nf_tables for services", "nft makes rules with numgen and jhash",
			"load the modules nft_numgen and nft_hash, or services that need them are refused", Warning,
			func(ctx context.Context, _ *netns.Handle) error { return makeTable(ctx, serviceRuleset) },
		},
	}
}

// kernel tries what the dataplane needs.
func kernel(ctx context.Context) []Finding {
	const check = "network namespaces"
	var findings []Finding
	err := inNewNamespace(func(ns *netns.Handle) {
		for _, t := range trials() {
			f := Finding{Check: t.check, Level: OK, Found: t.found}
			if err := t.do(ctx, ns); err != nil {
				f.Level, f.Found, f.Advice = t.lack, err.Error(), t.advice
				if errors.Is(err, exec.ErrNotFound) {
					f.Level = Warning // the image has it
				}
			}
			findings = append(findings, f)
		}
	})
	if err != nil {
		return []Finding{{
			Check: check, Level: Missing, Found: err.Error() + "; what else the kernel can was not tried",
			Advice: "run this as root; the kernel needs CONFIG_NET_NS",
		}}
	}
	return append([]Finding{{Check: check, Level: OK, Found: "the kernel makes them"}}, findings...)
}

func inNewNamespace(do func(*netns.Handle)) error {
	dir, err := os.MkdirTemp("", "polynic-preflight-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "netns")
	if err := netns.Pin(path); err != nil {
		return err
	}
	ns, err := netns.Open(path)
	if err == nil {
		err = errors.Join(ns.Do(func() error {
			do(ns)
			return nil
		}), ns.Close())
	}
	return errors.Join(err, netns.Unpin(path))
}

func makeTap(context.Context, *netns.Handle) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("try0")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make a tap: %w", err)
	}
	return nil
}

func makeVeth(_ context.Context, ns *netns.Handle) error {
	socket, err := nl.NewSocket(ns)
	if err != nil {
		return err
	}
	var b nl.Batch
	b.AddVeth(nl.Veth{
		VethEnd: nl.VethEnd{Name: "try1", MAC: model.MAC{0x02, 0xfe, 0, 0, 0, 1}}, MTU: 1500,
		Peer: nl.VethEnd{Name: "try2", MAC: model.MAC{0x02, 0xfe, 0, 0, 0, 2}}, PeerNamespace: ns,
	}).OnError(func(err error) error { return fmt.Errorf("make a pair: %w", err) })
	return errors.Join(socket.Do(&b), socket.Close())
}

// ruleset has of each kind of rule that the dataplane makes one.
const ruleset = `table inet try {
	chain guard { type filter hook prerouting priority -150; fib saddr . iif oif missing drop; }
	chain outbound { type nat hook postrouting priority 100; masquerade; }
}`

// serviceRuleset has how services choose among their backends.
const serviceRuleset = `table inet try {
	chain services {
		numgen random mod 2 vmap { 0 : accept, 1 : accept }
		jhash ip saddr . udp sport mod 2 seed 0x1 vmap { 0 : accept, 1 : accept }
	}
}`

func makeTable(ctx context.Context, ruleset string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(ruleset)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, firstLine(out))
	}
	return nil
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return line
}

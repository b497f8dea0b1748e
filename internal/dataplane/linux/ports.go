// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// anyNetwork names the space of a driver that has one for all networks.
const anyNetwork = ""

// PortGroup is the group (IFLA_GROUP) of the links that are the switch's ends of
// ports.
const PortGroup = portGroup

// NewPorts is the kernel's part of a dataplane of which another is the switch: it
// makes veths and taps of any network, and nothing else; of work with other
// objects it refuses the owner, and of these none is ever found.
//
// The switch's end of a veth is a link in the caller's namespace, up and attached
// to nothing: the kernel takes no packet from it itself, for its MAC is not the
// port's SwitchMAC, which the switch gives its own end, and it has no IP. Its name
// is PortName's. The switch lets go of it before the port is removed.
//
// A tap has no link here. Where Config.TapPeer is given, the relay has its file, and
// connects to the switch whenever that is there. Where it is not, or says so of a tap,
// the switch has made the tap in the pod, with the MAC of the port's PodEnd, before the
// port is applied. Its end there is configured, reported by Observe for as long as it
// is there, and deleted by the Reap after the port's removal. The relay is told to let
// go of it as of another, in case that it had it before.
//
// Observe reports the network of a port as wanted, and that of a stray where it is
// known: of a veth, not of a tap.
func NewPorts(config Config) (*Driver, error) {
	own, err := netns.Own()
	if err != nil {
		return nil, err
	}
	sysctl := sysctls(cmp.Or(config.SysctlDir, procSys))
	node := &space{network: anyNetwork, nsid: nl.OwnNamespace, sysctl: sysctl}
	if err := node.use(own); err != nil {
		return nil, fmt.Errorf("node's namespace: %w", err)
	}
	if config.TapPeer == nil {
		config.Relay = noRelay{}
	}
	return &Driver{
		config: config, log: config.Log, node: node, index: newIndex(), ends: map[endKey]leftEnd{},
		portsOnly: true, ipv6: sysctl.has("net/ipv6"),
	}, nil
}

// TapID is what the relay calls a tap.
func (d *Driver) TapID(owner desired.Owner, port string) string { return portID(owner, port) }

// onlyPorts refuses what a driver of NewPorts does not make.
func onlyPorts(w dataplane.Work) error {
	for _, c := range w.Changes {
		if kind := c.Key().Kind; !isPort(kind) {
			return fmt.Errorf("%s: a %s is the switch's, not the kernel's", c.Key(), kind)
		}
	}
	return nil
}

func isPort(kind desired.Kind) bool { return kind == desired.KindVeth || kind == desired.KindTap }

// portsAmong are the objects that a driver of NewPorts knows.
func portsAmong(set desired.Set) desired.Set {
	ports := desired.Set{}
	for key, o := range set {
		if isPort(key.Kind) {
			ports[key] = o
		}
	}
	return ports
}

// linkMAC is the MAC of the link that is a port's end in the switch, or, of that
// link's, the port's. Of another switch's the kernel's link has another, so that
// what is sent to the switch is not for the kernel.
func (d *Driver) linkMAC(mac model.MAC) model.MAC {
	const other = 4 // still a local address of one station
	if d.portsOnly {
		mac[0] ^= other
	}
	return mac
}

// shutOut has the kernel's IPv6 take nothing from a link that is another switch's;
// IPv4 does not as it is to take own sources only, and has none.
func (s *session) shutOut(p *port) error {
	if !s.driver.portsOnly || !s.driver.ipv6 {
		return nil
	}
	if err := p.space.sysctl.set(filepath.Join("net/ipv6/conf", p.inSwitch.Name, "disable_ipv6"), "1"); err != nil {
		return named(p.Port, fmt.Errorf("switch IPv6 off at the switch's end: %w", err))
	}
	return nil
}

// noRelay is for a switch that has the taps' files itself.
type noRelay struct{}

var _ Relay = noRelay{}

func (noRelay) Attach(_ context.Context, ports []relayapi.TapPort) []error {
	return make([]error, len(ports))
}

func (noRelay) AttachMemifs(_ context.Context, ports []relayapi.MemifPort) []error {
	return make([]error, len(ports))
}

func (noRelay) Detach(context.Context, []string) error                    { return nil }
func (noRelay) List(context.Context) ([]relayapi.PortState, error)        { return nil, nil }
func (noRelay) ListMemifs(context.Context) ([]relayapi.MemifState, error) { return nil, nil }

func (noRelay) Watch(ctx context.Context, take func(relayapi.Event)) error {
	take(relayapi.Event{Kind: relayapi.EventConnected})
	<-ctx.Done()
	return nil
}

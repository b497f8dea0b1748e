// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// memifSocket is the name of the socket in its folder (memifdir.SocketName).
const memifSocket = "memif.sock"

// errNoSecret is about a memif that was found, and whose allocation is unknown.
const errNoSecret = model.Refusal("its secret was lost with the agent's journal (delete the pod, so that it gets another)")

// attachMemifs runs beside what the session does; it uses nothing of its state.
func (s *session) attachMemifs(ctx context.Context, memifs []desired.Memif) error {
	if len(memifs) == 0 {
		return nil
	}
	ports := make([]relayapi.MemifPort, 0, len(memifs))
	for _, m := range memifs {
		space, err := s.spaceForTwin(m.Port)
		if err == nil && m.Secret.Reveal() == "" {
			err = errNoSecret
		}
		if err != nil {
			return named(m.Port, err)
		}
		ports = append(ports, memifPort(space, m))
	}
	errs := s.driver.config.Relay.AttachMemifs(ctx, ports)
	failpoint.Hit("relay-attach-memif")
	return firstNamed("open the memif", errs, func(i int) desired.Port { return memifs[i].Port })
}

func memifPort(space *space, m desired.Memif) relayapi.MemifPort {
	port := relayapi.MemifPort{
		ID: portID(m.Owner, m.Pod.Name),
		Socket: relayapi.MemifSocket{
			Folder: m.Folder, Name: memifSocket, Pod: m.Pod.Netns, QueuePairs: m.QueuePairs, RingSize: m.RingSize,
		},
		Memif: m.ID, Secret: relayapi.Secret(m.Secret.Reveal()), Mode: relayapi.MemifEthernet, MTU: m.MTU,
		AcceptUnsealed: m.AcceptUnsealed, Twin: twinLink(space, m.Port), Queues: m.Queues,
	}
	for _, a := range twinAddresses(m) {
		if a.Addr().IsLinkLocalUnicast() {
			port.LinkLocal = a.Addr()
		}
	}
	return port
}

// findMemif looks for the twin that the relay made.
func (s *session) findMemif(m desired.Memif) (*port, error) {
	p := &port{Port: m.Port, addresses: twinAddresses(m)}
	var err error
	if p.space, err = s.driver.space(m.Network); err != nil {
		return nil, err
	}
	if p.inSwitch, err = p.space.socket.Link(linkName(s.owner, m.Pod.Name)); err != nil {
		return nil, fmt.Errorf("find the twin: %w", err)
	}
	return p, nil
}

// twinAddresses are those of a memif's twin. With the gateways' addresses on it
// the kernel answers for them on this link, to neighbour discovery too, and
// asks the application in their name; no packet gets them as its source. Neighbour discovery it asks from a
// link-local address alone (ndisc_solicit in net/ipv6/ndisc.c); the prefix of
// that lets the spoof guard pass what an application sends from its own.
func twinAddresses(m desired.Memif) []netip.Prefix {
	var list []netip.Prefix
	for _, g := range m.Gateways {
		list = append(list, netip.PrefixFrom(g, g.BitLen()))
		if g.Is6() {
			list = append(list, netip.PrefixFrom(linkLocal(m.SwitchMAC), 64))
		}
	}
	return list
}

// linkLocal is the link-local address of a MAC (RFC 4291, appendix A).
func linkLocal(m model.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// observeMemifs finds the memifs among the wanted objects.
func (d *Driver) observeMemifs(v *view, wanted []desired.Memif, found desired.Set) error {
	for _, want := range wanted {
		port, twin := v.port(want.Port)
		space, err := d.space(want.Network)
		if twin == nil || err != nil {
			continue
		}
		got := want
		got.Port = port
		if !v.holds(memifPort(space, want)) {
			got.Queues = 0
		}
		sv := v.in(want.Network)
		if err := sv.readAddresses(space); err != nil {
			return fmt.Errorf("network %s: %w", want.Network, err)
		}
		if !sv.hasAddresses(twin.Index, twinAddresses(want)) {
			got.Gateways = nil
		}
		d.index.expect(want.Owner, []string{twin.Name})
		d.index.setLink(linkKey{sv.nsid, twin.Index}, d.switchMark(want.Port))
		found.Add(got)
	}
	return nil
}

// holds reports whether the relay has a memif as wanted. It does not tell secrets;
// that of a folder stays the same.
func (v *view) holds(want relayapi.MemifPort) bool {
	state, ok := v.memifs[want.ID]
	if !ok || !state.Attached {
		return false
	}
	have := state.MemifPort
	have.Secret, want.Secret = "", ""
	if want.Twin.Netns == "" {
		have.Twin.Inode = 0
	}
	return have == want
}

// memifs asks the relay what it holds, as taps does.
func (d *Driver) memifs(ctx context.Context) (map[string]relayapi.MemifState, error) {
	list, err := d.config.Relay.ListMemifs(ctx)
	if err != nil && !errors.Is(err, relayapi.ErrAway) {
		return nil, fmt.Errorf("list the relay's memifs: %w", err)
	}
	memifs := make(map[string]relayapi.MemifState, len(list))
	for _, m := range list {
		memifs[m.ID] = m
	}
	return memifs, nil
}

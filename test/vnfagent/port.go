// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/echo"
)

// port is one memif.
type port struct {
	config vppInterface
	conn   *memif.Interface
	host   echo.Host

	mu        sync.Mutex
	routes    []vppRoute
	neighbors map[netip.Addr][6]byte
}

func newPort(i vppInterface, conn *memif.Interface) *port {
	p := &port{config: i, conn: conn, host: echo.Host{Addresses: addresses(i.IPAddresses)}}
	_, _ = rand.Read(p.host.MAC[:])      // never fails (crypto/rand)
	p.host.MAC[0] = p.host.MAC[0]&^1 | 2 // of one interface, chosen locally
	return p
}

// lead sets what leads the port's packets.
func (p *port) lead(routes []vppRoute, neighbors map[netip.Addr][6]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes, p.neighbors = routes, neighbors
}

func (p *port) close() { p.conn.Close() }

// serve answers until the interface is closed.
func (p *port) serve(ctx context.Context) {
	frame := make([]byte, memif.MaxPacket)
	for {
		n, err := p.conn.Read(ctx, frame)
		if err != nil {
			return
		}
		answer := p.host.Answer(frame[:n])
		if answer == nil || !p.direct(answer) {
			continue
		}
		if _, err := p.conn.Write(ctx, answer); err != nil {
			return
		}
	}
}

// direct gives a packet the MAC of whom the routes and neighbours lead it to, as
// VPP does; it reports whether they lead it anywhere. What is not IP, and
// neighbour discovery, goes back where it came from.
func (p *port) direct(frame []byte) bool {
	const ethernet, solicited = 14, 136
	packet := frame[ethernet:]
	var to netip.Addr
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		to = netip.AddrFrom4([4]byte(packet[16:20]))
	case 0x86dd:
		if packet[40] == solicited {
			return true
		}
		to = netip.AddrFrom16([16]byte(packet[24:40]))
	default:
		return true
	}
	mac, ok := p.nextHop(to)
	copy(frame[:6], mac[:])
	return ok
}

func (p *port) nextHop(to netip.Addr) (mac [6]byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for n, r := range p.routes {
		if r.DstNetwork.Contains(to) && (best < 0 || r.DstNetwork.Bits() > p.routes[best].DstNetwork.Bits()) {
			best = n
		}
	}
	if best < 0 {
		return mac, false
	}
	mac, ok = p.neighbors[p.routes[best].NextHopAddr]
	return mac, ok
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.fd.io/govpp/binapi/af_packet"
	"go.fd.io/govpp/binapi/memif"
	"go.fd.io/govpp/binapi/tapv2"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
)

// port is one that is being made or altered.
type port struct {
	desired.Port
	tag     string
	network network
	// host is the link of a veth, tap a tap of VPP's own, and memif the memif of what is
	// neither; folder is where the socket of a pod's memif goes.
	host   *hostPort
	tap    *tapPort
	memif  *memifPort
	folder string
	// have is the interface once it is there.
	have *iface

	exists     bool // something has its place
	hostReply  af_packet.AfPacketCreateV3Reply
	tapReply   tapv2.TapCreateV3Reply
	memifReply memif.MemifCreateV2Reply
}

// portsOf finds what ports among the wanted objects need.
func (s *session) portsOf(wanted []desired.Object) ([]*port, error) {
	var ports []*port
	for _, o := range wanted {
		about, isPort := desired.PortOf(o)
		if !isPort {
			continue
		}
		p, err := s.portOf(o, about)
		if err != nil {
			return nil, named(about, err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

func (s *session) portOf(o desired.Object, about desired.Port) (*port, error) {
	p := &port{Port: about, tag: portTag(s.owner, about.Pod.Name)}
	var ok bool
	if p.network, ok = s.k.network(about.Network); !ok {
		return nil, fmt.Errorf("there is no network %q in VPP", about.Network)
	}
	switch o := o.(type) {
	case desired.Veth:
		p.host = &hostPort{link: s.ports.PortName(s.owner, about.Pod.Name), tag: p.tag, mac: about.SwitchMAC, mtu: about.MTU}
	case desired.Tap:
		if s.k.ownTaps {
			p.tap = &tapPort{Tap: o, tag: p.tag, ring: s.config.TapRingSize}
			break
		}
		m := s.memifOfTap(o)
		p.memif = &m
	case desired.Memif:
		if o.Secret.Reveal() == "" {
			return nil, errNoSecret
		}
		m := s.memifOf(o)
		p.memif, p.folder = &m, o.Folder
	case desired.Network, desired.HostLink, desired.Neighbor, desired.Route:
	}
	return p, nil
}

// place is the name under which an interface has its place, without a tag too.
func (p *port) place() string {
	switch {
	case p.host != nil:
		return p.host.link
	case p.tap != nil:
		return endOf(p.Pod).place()
	}
	return placeOf(p.memif.socket, p.memif.id)
}

// nameOf is how VPP names a port's interface.
func (s *session) nameOf(p *port) string {
	switch {
	case p.host != nil:
		return hostWord + p.host.link
	case p.tap != nil:
		return fmt.Sprintf("%s%d", tapWord, s.k.reserveTap(p.tag))
	}
	socket, _ := s.k.socket(p.memif.socket)
	return fmt.Sprintf("memif%d/%d", socket, p.memif.id)
}

func placeOf(socket string, id uint32) string { return fmt.Sprintf("%s/%d", socket, id) }

// maxDown is how many host-interfaces of ours may be down at a time. VPP reads
// nothing from one that is, and from 16 links with something to read on it never gets
// round to anything else (vlib_file_poll in vlib/file.c).
const maxDown = 8

// make makes what the owner should have, but for taps of VPP's own, which are there:
// its memifs, its host-interfaces, which are up as soon as they can be, and then all
// that is on them.
func (s *session) make(ctx context.Context, ports []*port, wanted []desired.Object) error {
	for _, p := range ports {
		defer s.k.setMaking(p.place())()
		delete(s.indices, p.Pod.Name)
	}
	var memifs, hosts, taps []*port
	for _, p := range ports {
		switch {
		case p.memif != nil:
			memifs = append(memifs, p)
		case p.tap != nil:
			taps = append(taps, p)
		default:
			hosts = append(hosts, p)
		}
	}
	if err := s.makeInterfaces(ctx, memifs); err != nil {
		return err
	}
	for part := range slices.Chunk(hosts, maxDown) {
		if err := s.makeHosts(ctx, part); err != nil {
			return err
		}
	}
	failpoint.Hit("vpp-create")
	var b vppapi.Batch
	for _, p := range append(taps, memifs...) {
		s.configure(&b, p)
	}
	for _, p := range ports {
		s.indices[p.Pod.Name] = p.have
	}
	if err := s.reach(ctx, &b, wanted); err != nil {
		return err
	}
	if err := s.turn(ctx, &b, memifs); err != nil {
		return err
	}
	failpoint.Hit("vpp-configure")
	return s.settle(ports)
}

// makeHosts makes host-interfaces and brings them up.
func (s *session) makeHosts(ctx context.Context, ports []*port) error {
	weight := int64(len(ports))
	if err := s.down.Acquire(ctx, weight); err != nil {
		return err
	}
	defer s.down.Release(weight)
	if err := s.makeInterfaces(ctx, ports); err != nil {
		return err
	}
	var b vppapi.Batch
	for _, p := range ports {
		s.configure(&b, p)
	}
	return s.k.conn.Do(ctx, &b)
}

// settle remembers what was made, and puts sockets where applications find them.
func (s *session) settle(ports []*port) error {
	for _, p := range ports {
		s.k.put(p.tag, p.have.index, s.nameOf(p))
		if p.memif != nil {
			s.sleeper.linked(p.have.index) // it may have been before it had its tag
		}
		if p.folder == "" {
			continue
		}
		if err := placeSocket(p.memif.socket, p.folder); err != nil {
			return named(p.Port, err)
		}
	}
	return nil
}

// turn carries out a batch in which memifs may be switched on.
func (s *session) turn(ctx context.Context, b *vppapi.Batch, ports []*port) error {
	if slices.ContainsFunc(ports, func(p *port) bool { return p.memif != nil && !p.have.up }) {
		leave, err := s.k.gate.enter(ctx, toTurn)
		if err != nil {
			return err
		}
		defer leave()
	}
	return s.k.conn.Do(ctx, b)
}

// makeInterfaces makes those that are missing. What is known to be there, or turns
// out to be, is looked at, and kept if it is as wanted.
func (s *session) makeInterfaces(ctx context.Context, ports []*port) error {
	missing := ports
	for range 2 {
		if err := s.adoptKnown(ctx, missing); err != nil {
			return err
		}
		missing = withoutInterface(missing)
		if err := s.create(ctx, missing); err != nil {
			return err
		}
		missing = withoutInterface(missing)
	}
	for _, p := range missing {
		return named(p.Port, fmt.Errorf("interface %s: %w", p.place(), dataplane.ErrTaken))
	}
	return nil
}

func withoutInterface(ports []*port) []*port {
	return slices.DeleteFunc(slices.Clone(ports), func(p *port) bool { return p.have != nil })
}

// adoptKnown takes what is in the places of ports, as far as something is known to
// be.
func (s *session) adoptKnown(ctx context.Context, ports []*port) error {
	for _, p := range ports {
		if p.tap != nil && p.tap.isUnfit {
			if err := p.tap.replaceUnfit(); err != nil {
				return named(p.Port, err)
			}
		}
		if _, isKnown := s.k.find(p.tag); !isKnown && !p.exists {
			continue
		}
		if err := s.adopt(ctx, p); err != nil {
			return named(p.Port, err)
		}
	}
	return nil
}

// adopt takes what is in a port's place.
func (s *session) adopt(ctx context.Context, p *port) error {
	v, err := s.look(ctx)
	if err != nil {
		return err
	}
	switch {
	case p.host != nil:
		p.have, err = s.adoptHost(ctx, s.k, v, *p.host)
		return err
	case p.tap != nil:
		p.have, err = s.adoptTap(ctx, v, p)
		return err
	}
	p.have, err = s.k.adoptMemif(ctx, v, *p.memif)
	return err
}

// create makes interfaces, and notes where something has the place. The first memif
// that VPP has is made alone.
func (s *session) create(ctx context.Context, ports []*port) error {
	if err := checkSockets(ports); err != nil {
		return err
	}
	memifs := slices.DeleteFunc(slices.Clone(ports), func(p *port) bool { return p.memif == nil })
	if len(memifs) == 0 {
		return s.createAll(ctx, ports)
	}
	if err := s.createFirst(ctx, memifs[0]); err != nil {
		return err
	}
	leave, err := s.k.gate.enter(ctx, toMake)
	if err != nil {
		return err
	}
	defer leave()
	return s.createAll(ctx, withoutInterface(ports))
}

// createFirst makes a memif if VPP has none, and nobody else does.
func (s *session) createFirst(ctx context.Context, p *port) error {
	s.k.firstMu.Lock()
	defer s.k.firstMu.Unlock()
	if s.k.countMemifs(0) > 0 {
		return nil
	}
	leave, err := s.k.gate.enter(ctx, toMake)
	if err != nil {
		return err
	}
	defer leave()
	defer s.k.gate.settleFirst()
	return s.createAll(ctx, []*port{p})
}

// createAll makes interfaces at once.
func (s *session) createAll(ctx context.Context, ports []*port) error {
	var b vppapi.Batch
	sockets := map[string]bool{}
	for _, p := range ports {
		p.exists = false
		p.ask(&b, s.k, sockets).OnError(func(err error) error {
			if p.tap != nil {
				return named(p.Port, s.k.tapRefused(p.tap, err))
			}
			if p.exists = exists(err); p.exists {
				return nil
			}
			return named(p.Port, advise(fmt.Errorf("make interface %s: %w", p.place(), err)))
		})
	}
	err := s.k.conn.Do(ctx, &b)
	for _, p := range ports {
		if index := p.created(); index != 0 && !p.exists && index != none {
			p.have = &iface{index: index, mac: p.SwitchMAC, lends: none}
			if p.tap != nil {
				p.have.tag, p.have.polls = p.tag, true
			}
			if p.memif != nil {
				s.k.countMemifs(1)
				s.k.confirmSocket(p.memif.socket)
			}
		}
	}
	if err != nil && !errors.Is(err, dataplane.ErrAway) {
		err = errors.Join(err, s.tidyUp(ctx, ports))
	}
	return err
}

// tidyUp marks what was made where something else could not be, so that whoever
// removes it finds it, and has VPP forget sockets that it could not listen on: it
// would take them for good the next time.
func (s *session) tidyUp(ctx context.Context, ports []*port) error {
	var b vppapi.Batch
	for _, p := range ports {
		if p.have != nil && p.have.tag != p.tag {
			setTag(&b, p.have.index, p.tag)
		}
	}
	if err := s.k.conn.Do(ctx, &b); err != nil {
		return err
	}
	for _, p := range ports {
		if p.have == nil && !p.exists && p.memif != nil {
			if _, err := s.k.dropSocket(ctx, p.memif.socket); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask asks for the interface; of memifs' sockets the batch asks for those in the map.
func (p *port) ask(b *vppapi.Batch, k *known, sockets map[string]bool) *vppapi.Request {
	switch {
	case p.host != nil:
		return askHost(b, *p.host, &p.hostReply)
	case p.tap != nil:
		return k.askTap(b, *p.tap, &p.tapReply)
	}
	return k.askMemif(b, *p.memif, &p.memifReply, sockets)
}

// created is the number that VPP gave; 0 is its own local0's.
func (p *port) created() ifIndex {
	switch {
	case p.host != nil:
		return p.hostReply.SwIfIndex
	case p.tap != nil:
		return p.tapReply.SwIfIndex
	}
	return p.memifReply.SwIfIndex
}

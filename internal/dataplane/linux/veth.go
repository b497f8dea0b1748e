// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// makeVeth makes the pair if it is missing, each end in its own namespace from
// birth.
func (s *session) makeVeth(v desired.Veth) (*port, error) {
	p, err := s.open(v.Port)
	if err != nil {
		return nil, err
	}
	name, mac := linkName(s.owner, v.Pod.Name), s.driver.linkMAC(v.SwitchMAC)
	err = p.addVeth(name, mac)
	failpoint.Hit("veth-create")
	if !errors.Is(err, unix.EEXIST) {
		return p, err
	}
	return p, s.adoptVeth(p)
}

// addVeth makes the pair, and asks for the numbers that the kernel gave its
// ends; the other end is told with the first.
func (p *port) addVeth(name string, mac model.MAC) error {
	var b nl.Batch
	b.AddVeth(nl.Veth{
		VethEnd: nl.VethEnd{Name: name, MAC: mac}, Group: portGroup, MTU: p.MTU,
		Peer: nl.VethEnd{Name: p.Pod.Name, MAC: p.Pod.MAC}, PeerNamespace: p.pod.ns,
		Unsegmented: p.space.network == anyNetwork, // another switch reads packets into frames
	}).OnError(func(err error) error { return fmt.Errorf("create veth: %w", err) })
	b.GetLink(name, func(l nl.Link) {
		p.inSwitch, p.inPod = l, nl.Link{Index: l.Peer, MAC: p.Pod.MAC, MTU: p.MTU}
	}).OnError(func(err error) error { return fmt.Errorf("find link %s: %w", name, err) })
	return p.space.socket.Do(&b)
}

// adoptVeth keeps a pair that is there if both its ends are where they belong,
// and makes it anew if not.
func (s *session) adoptVeth(p *port) error {
	name := linkName(s.owner, p.Pod.Name)
	old, err := s.findSwitchEnd(p.space, name, p.Port)
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("create veth: %w", dataplane.ErrTaken) // it is the pod's end that exists
	}
	if err != nil {
		return fmt.Errorf("look at link %s: %w", name, err)
	}
	switch ownershipOf(old, s.owner, p.Pod.Name) {
	case foreign:
		return fmt.Errorf("create veth: link %s: %w", name, dataplane.ErrTaken)
	case ours, halfMade:
		peer, err := p.pod.socket.Link(p.Pod.Name)
		if err == nil && old.Name == name {
			if paired, err := p.pod.pairs(p.space.socket, p.space.nsid, old, peer); paired || err != nil {
				p.inSwitch, p.inPod = old, peer
				return err
			}
		}
	case leaving:
	}
	if err := p.space.deleteLink(old.Index); err != nil {
		return fmt.Errorf("delete the old link %s: %w", name, err)
	}
	err = p.addVeth(name, s.driver.linkMAC(p.SwitchMAC))
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("create veth: %w", dataplane.ErrTaken)
	}
	return err
}

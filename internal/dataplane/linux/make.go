// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/nl"
)

// port is one that is being made or altered, once both its links exist. A memif
// has no pod, and no link in it; a tap of another switch's no space, and no link in
// that.
type port struct {
	desired.Port
	space            *space
	pod              *pod
	inSwitch, inPod  nl.Link
	switchNeedsQdisc bool           // see settle
	addresses        []netip.Prefix // of the end in the switch
}

// open opens the namespaces that a port's ends are in.
func (s *session) open(p desired.Port) (*port, error) {
	space, err := s.driver.space(p.Network)
	if err != nil {
		return nil, err
	}
	pod, err := s.pod(p.Pod.Netns)
	if err != nil {
		return nil, err
	}
	return &port{Port: p, space: space, pod: pod}, nil
}

// portsOf has the wanted ports of one type made, or found.
func portsOf[T desired.Object](wanted []desired.Object, get func(T) (*port, error)) ([]*port, error) {
	var ports []*port
	for _, o := range wanted {
		object, ok := o.(T)
		if !ok {
			continue
		}
		p, err := get(object)
		if err != nil {
			about, _ := desired.PortOf(o)
			return nil, named(about, err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// make makes all that the owner should have, as far as it is not there. While
// the relay makes taps and memifs, the veths are made. Each namespace gets what
// belongs into it in one batch for the veths and one for the others, and last the
// switch is told where the pod's addresses are.
func (s *session) make(ctx context.Context, wanted []desired.Object) error {
	opened := s.askRelay(ctx, wanted)
	ports, err := portsOf(wanted, s.makeVeth)
	if err == nil {
		err = s.configure(ctx, ports)
	}
	if relayErr := opened(); err == nil {
		err = relayErr
	}
	if err != nil {
		return err
	}
	relayed, err := portsOf(wanted, s.findTap)
	if err != nil {
		return err
	}
	memifs, err := portsOf(wanted, s.findMemif)
	if err != nil {
		return err
	}
	relayed = append(relayed, memifs...)
	if err := s.configure(ctx, relayed); err != nil {
		return err
	}
	return s.reach(append(ports, relayed...), wanted)
}

// configure brings both ends of ports to what the plan says.
func (s *session) configure(ctx context.Context, ports []*port) error {
	if len(ports) == 0 {
		return nil
	}
	if err := s.configureSwitchEnds(ctx, ports); err != nil {
		return err
	}
	return s.configurePodEnds(ports)
}

// configureSwitchEnds brings the ends in the networks' namespaces to what the
// plan says.
func (s *session) configureSwitchEnds(ctx context.Context, ports []*port) error {
	for _, space := range s.driver.spaces() {
		if err := s.configureSwitchEndsIn(ctx, space, ports); err != nil {
			return err
		}
	}
	failpoint.Hit("switch-end")
	for _, p := range ports {
		if p.space == nil {
			continue
		}
		s.links[p.Pod.Name] = p.inSwitch.Index
		s.driver.index.setLink(linkKey{p.space.nsid, p.inSwitch.Index}, s.driver.switchMark(p.Port))
	}
	return nil
}

func (s *session) configureSwitchEndsIn(ctx context.Context, space *space, ports []*port) error {
	var b nl.Batch
	var addresses []nl.Address
	for _, p := range ports {
		if p.space != space {
			continue
		}
		if err := s.shutOut(p); err != nil {
			return err
		}
		s.switchEnd(&b, p)
		of6, err := p.addresses6()
		if err != nil {
			return err
		}
		addresses = append(addresses, of6...)
	}
	return space.doUntilInUse(ctx, &b, addresses)
}

// configurePodEnds brings the ends in the pods to what the plan says.
func (s *session) configurePodEnds(ports []*port) error {
	for _, pod := range s.pods {
		var ends []podEnd
		for _, p := range ports {
			if p.pod == pod {
				s.driver.keepEnd(p.Pod)
				ends = append(ends, podEnd{p})
			}
		}
		if err := configureEnds(pod, ends); err != nil {
			return err
		}
	}
	failpoint.Hit("pod-end")
	for _, p := range ports {
		if p.pod != nil {
			s.driver.index.setLink(linkKey{p.pod.nsid, p.inPod.Index}, podMark(p.Port))
		}
	}
	return nil
}

// reach leads the networks' traffic for the pod's addresses to its ports.
func (s *session) reach(ports []*port, wanted []desired.Object) error {
	for _, space := range s.driver.spaces() {
		if err := s.reachIn(space, ports, wanted); err != nil {
			return err
		}
	}
	failpoint.Hit("switch-reach")
	for _, p := range ports {
		if !p.switchNeedsQdisc {
			continue
		}
		if err := p.addQdisc(); err != nil {
			return named(p.Port, err)
		}
	}
	return nil
}

func (s *session) reachIn(space *space, ports []*port, wanted []desired.Object) error {
	var b nl.Batch
	for _, p := range ports {
		if p.space == space {
			p.settle(&b)
		}
	}
	var inTheWay []desired.Route
	err := s.leads(&b, space, wanted, func(r desired.Route) { inTheWay = append(inTheWay, r) })
	if err == nil {
		err = space.do(&b)
	}
	if err != nil {
		return err
	}
	for _, route := range inTheWay {
		if err := s.replaceOurs(space, route); err != nil {
			return err
		}
	}
	return nil
}

// settle makes sure that a switch end sends. A veth's was brought up while its
// peer was down, so it has no queueing discipline but the one that drops, until
// the kernel's link watch comes round to it. To ask for the link makes it come
// at once (Linux 6.8 and later).
func (p *port) settle(b *nl.Batch) {
	b.GetLinkByIndex(p.inSwitch.Index, func(l nl.Link) {
		p.switchNeedsQdisc = !l.Running && l.Kind == "veth"
	}).OnError(func(err error) error {
		return named(p.Port, fmt.Errorf("look at the switch's end: %w", err))
	})
}

// addQdisc does what settle does on older kernels: it gives the link the
// discipline that it is to have.
func (p *port) addQdisc() error {
	var b nl.Batch
	b.SetNoQueue(p.inSwitch.Index).OnError(func(err error) error {
		return fmt.Errorf("have the switch's end send: %w", err)
	})
	return p.space.socket.Do(&b)
}

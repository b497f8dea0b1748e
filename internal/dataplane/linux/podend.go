// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/nl"
)

// podEnd brings the pod's side of a port to what the plan says. Each step is
// harmless where the kernel has it already; what the plan does not list is
// left alone.
type podEnd struct{ *port }

// configureEnds brings ends in one pod to what the plan says, in one batch.
func configureEnds(pod *pod, ends []podEnd) error {
	var off []podEnd // with IPv6 switched off
	do := func() error {
		var b nl.Batch
		for _, e := range ends {
			e.setLink(&b)
			e.setAddresses(&b, func() { off = append(off, e) })
			e.setNeighbors(&b)
			e.setRoutes(&b)
			e.setRules(&b)
		}
		return pod.socket.Do(&b)
	}
	err := do()
	if len(off) == 0 {
		return err
	}
	// The runtime made the namespace with IPv6 switched off.
	for _, e := range off {
		if err := e.enableIPv6(); err != nil {
			return named(e.Port, err)
		}
	}
	return do()
}

// wrong has an error name the port and the step.
func (e podEnd) wrong(step string, object any) func(error) error {
	return func(err error) error { return named(e.Port, fmt.Errorf("%s %s: %w", step, object, err)) }
}

func (e podEnd) setLink(b *nl.Batch) {
	change := nl.LinkChange{Up: true}
	if e.inPod.MAC != e.Pod.MAC {
		change.MAC = &e.Pod.MAC
	}
	if e.inPod.MTU != e.MTU {
		change.MTU = &e.MTU
	}
	if e.inPod.Up && change.MAC == nil && change.MTU == nil {
		return
	}
	b.SetLink(e.inPod.Index, change).OnError(e.wrong("bring up with MAC", e.Pod.MAC))
}

// setAddresses calls off where the kernel says that IPv6 is switched off.
func (e podEnd) setAddresses(b *nl.Batch, off func()) {
	for _, prefix := range e.Pod.Addresses {
		wrong := e.wrong("add address", prefix)
		b.SetAddress(e.inPod.Index, prefix).OnError(func(err error) error {
			if prefix.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
				off()
			}
			return wrong(err)
		})
		if prefix.Addr().Is6() {
			b.SetRoute(e.local(prefix)).OnError(wrong)
		}
	}
}

// local makes the pod take packets for an IPv6 address at once. The kernel
// adds this route by itself, but from a work queue, also when there is no
// duplicate address detection to wait for (addrconf_dad_start): the first
// packets after ADD would be lost.
func (e podEnd) local(address netip.Prefix) nl.Route {
	return nl.Route{Link: e.inPod.Index, Table: unix.RT_TABLE_LOCAL, Dst: address, Local: true, Protocol: protocol}
}

// enableIPv6 switches IPv6 on for this interface alone.
func (e podEnd) enableIPv6() error {
	return e.pod.ns.Do(func() error {
		if err := e.pod.sysctl.set(filepath.Join("net/ipv6/conf", e.Pod.Name, "disable_ipv6"), "0"); err != nil {
			return fmt.Errorf("enable IPv6: %w", err)
		}
		return nil
	})
}

func (e podEnd) setNeighbors(b *nl.Batch) {
	for _, n := range e.Pod.Neighbors {
		b.SetNeighbor(e.inPod.Index, n.IP, n.MAC).OnError(e.wrong("set neighbour", n.IP))
	}
}

func (e podEnd) setRoutes(b *nl.Batch) {
	for _, r := range e.Pod.Routes {
		b.SetRoute(podRoute(e.inPod.Index, r)).OnError(e.wrong("set", r))
	}
}

func podRoute(link int, r desired.PodRoute) nl.Route {
	return nl.Route{Link: link, Table: r.Table, Dst: r.Dst, Via: r.Via, Protocol: protocol}
}

func (e podEnd) setRules(b *nl.Batch) {
	for _, r := range e.Pod.Rules {
		wrong := e.wrong("set", r)
		b.AddRule(podRule(e.Pod.Name, r)).OnError(func(err error) error {
			if errors.Is(err, unix.EEXIST) {
				return nil
			}
			return wrong(err)
		})
	}
}

// podRule is for packets from an address, or of sockets bound to the link.
func podRule(link string, r desired.PodRule) nl.Rule {
	rule := nl.Rule{Priority: r.Priority, IPv6: r.IPv6, From: r.From, Table: r.Table, Protocol: protocol}
	if !r.From.IsValid() {
		rule.Link = link
	}
	return rule
}

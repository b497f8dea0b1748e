// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/nl"
)

// settleTime is how long a suspicion waits for the event that clears it. Making a
// link is a series of events of which only the last shows it as it should be.
const settleTime = 20 * time.Millisecond

// sorter finds, among all rtnetlink events, those that can mean that something
// of ours was altered or removed. What is made beside ours is nobody's
// concern, so of addresses, routes, rules and neighbours only removals count.
type sorter struct {
	index *index
	kick  chan struct{}

	mu     sync.Mutex
	links  map[linkKey]desired.Owner // that do not look as they should
	owners []desired.Owner           // that lost something
}

func newSorter(x *index) *sorter {
	return &sorter{index: x, kick: make(chan struct{}, 1), links: map[linkKey]desired.Owner{}}
}

// run reports suspicions that nothing cleared, until ctx ends.
func (s *sorter) run(ctx context.Context, tell func(dataplane.Hit)) error {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		select {
		case <-s.kick:
		case <-ctx.Done():
			return nil
		}
		timer.Reset(settleTime)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if owners := s.suspects(); len(owners) > 0 {
			tell(dataplane.Hit{Owners: owners})
		}
	}
}

func (s *sorter) suspects() []desired.Owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := s.owners
	for _, o := range s.links {
		if !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	s.owners = nil
	clear(s.links)
	return owners
}

// take looks at one event.
func (s *sorter) take(e nl.Event) {
	switch e.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		s.takeLink(e)
	case unix.RTM_DELADDR:
		if len(e.Data) >= unix.SizeofIfAddrmsg {
			s.lostOnLink(e, binary.NativeEndian.Uint32(e.Data[4:8])) // ifa_index
		}
	case unix.RTM_DELNEIGH:
		// Of a permanent one too the state is NUD_FAILED by now. Those without
		// ARP, of multicast addresses, the kernel makes and forgets by itself.
		if len(e.Data) >= unix.SizeofNdMsg && binary.NativeEndian.Uint16(e.Data[8:10])&unix.NUD_NOARP == 0 {
			s.lostOnLink(e, binary.NativeEndian.Uint32(e.Data[4:8])) // ndm_ifindex
		}
	case unix.RTM_DELROUTE:
		s.takeRoute(e)
	case unix.RTM_DELRULE:
		s.lost(s.index.inNamespace(e.NSID)...)
	}
}

func (s *sorter) takeLink(e nl.Event) {
	if len(e.Data) < unix.SizeofIfInfomsg {
		return
	}
	key := linkKey{e.NSID, int(int32(binary.NativeEndian.Uint32(e.Data[4:8])))} // ifi_index
	mark, ok := s.index.link(key)
	if !ok {
		return
	}
	if e.Type == unix.RTM_NEWLINK && looksRight(e.Data, mark) {
		s.mu.Lock()
		delete(s.links, key)
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	s.links[key] = mark.owner
	s.mu.Unlock()
	s.wake()
}

func looksRight(data []byte, mark linkMark) bool {
	link, ok := nl.ParseLink(data)
	return ok && link.Up && link.MTU == mark.mtu && link.MAC == mark.mac
}

// takeRoute looks at a removed route: one of ours belongs to the link it goes
// through, and in the node's namespace, where it is a gateway, to the node.
func (s *sorter) takeRoute(e nl.Event) {
	if len(e.Data) < unix.SizeofRtMsg {
		return
	}
	header := vnl.DeserializeRtMsg(e.Data)
	if header.Protocol != protocol {
		return
	}
	if header.Type == unix.RTN_LOCAL {
		s.lost(desired.Owner{})
		return
	}
	attrs, err := vnl.ParseRouteAttr(e.Data[unix.SizeofRtMsg:])
	if err != nil {
		return
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.RTA_OIF && len(a.Value) >= 4 {
			s.lostOnLink(e, binary.NativeEndian.Uint32(a.Value))
		}
	}
}

func (s *sorter) lostOnLink(e nl.Event, index uint32) {
	if mark, ok := s.index.link(linkKey{e.NSID, int(index)}); ok {
		s.lost(mark.owner)
	}
}

func (s *sorter) lost(owners ...desired.Owner) {
	if len(owners) == 0 {
		return
	}
	s.mu.Lock()
	for _, o := range owners {
		if !slices.Contains(s.owners, o) {
			s.owners = append(s.owners, o)
		}
	}
	s.mu.Unlock()
	s.wake()
}

func (s *sorter) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// tableOf is the name of the table that an nftables event is about: attribute 1
// of every kind of message (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and so on).
func tableOf(e nl.Event) string {
	const header, tableAttribute = 4, 1 // struct nfgenmsg
	if len(e.Data) < header {
		return ""
	}
	attrs, err := vnl.ParseRouteAttr(e.Data[header:])
	if err != nil {
		return ""
	}
	for _, a := range attrs {
		if a.Attr.Type&vnl.NLA_TYPE_MASK == tableAttribute {
			return vnl.BytesToString(a.Value)
		}
	}
	return ""
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

func newSocket(t *testing.T, ns *netns.Handle) *nl.Socket {
	t.Helper()
	s, err := nl.NewSocket(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func do(t *testing.T, s *nl.Socket, fill func(*nl.Batch)) {
	t.Helper()
	var b nl.Batch
	fill(&b)
	if err := s.Do(&b); err != nil {
		t.Fatal(err)
	}
}

var pair = nl.Veth{
	VethEnd: nl.VethEnd{Name: "here", MAC: model.MAC{2, 0, 0, 0, 0, 1}}, Group: 77, MTU: 1450,
	Peer: nl.VethEnd{Name: "there", MAC: model.MAC{2, 0, 0, 0, 0, 2}},
}

// makePair gives the numbers of both ends.
func makePair(t *testing.T, s *nl.Socket, other *netns.Handle) (here, there int) {
	t.Helper()
	do(t, s, func(b *nl.Batch) {
		veth := pair
		veth.PeerNamespace = other
		b.AddVeth(veth)
		b.GetLink("here", func(l nl.Link) { here, there = l.Index, l.Peer })
	})
	return here, there
}

// What a batch makes is what the netlink library reads back.
func TestBatchMakesLinks(t *testing.T) {
	ns, list := space(t)
	other, otherList := space(t)
	s := newSocket(t, ns)
	here, there := makePair(t, s, other)
	alias, mtu := "polynic a b c", 1400
	do(t, s, func(b *nl.Batch) {
		b.SetLink(here, nl.LinkChange{Alias: &alias, MTU: &mtu, NoIPv6Address: true})
		b.SetLink(here, nl.LinkChange{Up: true})
	})
	do(t, newSocket(t, other), func(b *nl.Batch) { b.SetLink(there, nl.LinkChange{Up: true}) })

	link, err := list.LinkByIndex(here)
	if err != nil {
		t.Fatal(err)
	}
	a := link.Attrs()
	got := []any{a.Name, a.HardwareAddr.String(), a.MTU, int(a.Group), a.Alias, a.Flags&net.FlagUp != 0, a.NumTxQueues, a.NumRxQueues}
	if diff := cmp.Diff([]any{"here", "02:00:00:00:00:01", 1400, 77, alias, true, 1, 1}, got); diff != "" {
		t.Error(diff)
	}
	peer, err := otherList.LinkByIndex(there)
	if err != nil {
		t.Fatal(err)
	}
	a = peer.Attrs()
	got = []any{a.Name, a.HardwareAddr.String(), a.MTU, int(a.Group), a.ParentIndex, a.NumTxQueues}
	if diff := cmp.Diff([]any{"there", "02:00:00:00:00:02", 1450, 0, here, 1}, got); diff != "" {
		t.Error(diff)
	}
	addresses, err := list.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil || len(addresses) != 0 {
		t.Errorf("addresses %v, %v; want none, link-local ones neither", addresses, err)
	}
}

func TestBatchMakesAddressesRoutesAndRules(t *testing.T) {
	ns, list := space(t)
	other, _ := space(t)
	s := newSocket(t, ns)
	link, _ := makePair(t, s, other)
	v4, v6 := netip.MustParsePrefix("10.1.1.2/32"), netip.MustParsePrefix("fd00::2/128")
	gw4, gw6 := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd00::1")
	const mark = 80
	v4Rule := nl.Rule{Priority: 100, From: v4, Table: 1001, Protocol: mark}
	v6Rule := nl.Rule{Priority: 101, IPv6: true, Link: "here", Table: 1001, Protocol: mark}
	for range 2 { // the second time everything is there
		do(t, s, func(b *nl.Batch) {
			b.SetLink(link, nl.LinkChange{Up: true, NoIPv6Address: true})
			for _, p := range []netip.Prefix{v4, v6} {
				b.SetAddress(link, p)
			}
			for _, gw := range []netip.Addr{gw4, gw6} {
				b.SetNeighbor(link, gw, model.MAC{2, 0, 0, 0, 0, 9})
				b.SetRoute(nl.Route{Link: link, Table: 1001, Dst: netip.PrefixFrom(gw, gw.BitLen()), Protocol: mark})
				everything := netip.PrefixFrom(gw, 0).Masked()
				b.SetRoute(nl.Route{Link: link, Table: 1001, Dst: everything, Via: gw, Protocol: mark})
			}
			b.SetRoute(nl.Route{Link: link, Table: unix.RT_TABLE_LOCAL, Dst: v6, Local: true, Protocol: mark})
			for _, r := range []nl.Rule{v4Rule, v6Rule} {
				b.AddRule(r).OnError(func(err error) error {
					if errors.Is(err, unix.EEXIST) {
						return nil
					}
					return err
				})
			}
		})
	}
	expect(t, ns, list, []string{
		"address 10.1.1.2/32", "address fd00::2/128",
		"neighbour 10.1.1.1 02:00:00:00:00:09", "neighbour fd00::1 02:00:00:00:00:09",
		"route 0.0.0.0/0 via 10.1.1.1 table 1001", "route 10.1.1.1/32 via invalid IP table 1001",
		"route ::/0 via fd00::1 table 1001", "route fd00::1/128 via invalid IP table 1001",
		"route fd00::2/128 via invalid IP table 255",
		"rule 100 oif  table 1001", "rule 101 oif here table 1001",
	})
	rules, err := s.Rules(mark)
	if want := []nl.Rule{v4Rule, v6Rule}; err != nil || !slices.Equal(rules, want) {
		t.Errorf("rules %+v, %v; want %+v", rules, err, want)
	}
	do(t, s, func(b *nl.Batch) {
		for _, r := range rules {
			b.DelRule(r)
		}
		b.DelNeighbor(link, gw4)
		b.DelRoute(nl.Route{Link: link, Table: 1001, Dst: netip.PrefixFrom(gw6, 0).Masked(), Via: gw6, Protocol: mark})
	})
	expect(t, ns, list, []string{
		"address 10.1.1.2/32", "address fd00::2/128", "neighbour fd00::1 02:00:00:00:00:09",
		"route 0.0.0.0/0 via 10.1.1.1 table 1001", "route 10.1.1.1/32 via invalid IP table 1001",
		"route fd00::1/128 via invalid IP table 1001", "route fd00::2/128 via invalid IP table 255",
	})
}

// expect compares what the library lists, and then what the socket does.
func expect(t *testing.T, ns *netns.Handle, list *nl.Handle, want []string) {
	t.Helper()
	const ours = 80
	var theirs, mine []string
	addresses, err1 := list.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range addresses {
		theirs = append(theirs, "address "+a.IPNet.String())
	}
	neighbors, err2 := list.NeighListExecute(netlink.Ndmsg{State: netlink.NUD_PERMANENT})
	for _, n := range neighbors {
		theirs = append(theirs, fmt.Sprintf("neighbour %s %s", n.IP, n.HardwareAddr))
	}
	routes, err3 := list.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{Protocol: ours, Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	for _, r := range routes {
		via, _ := netip.AddrFromSlice(r.Gw)
		theirs = append(theirs, fmt.Sprintf("route %s via %s table %d", r.Dst, via, r.Table))
	}
	rules, err4 := list.RuleList(netlink.FAMILY_ALL)
	for _, r := range rules {
		if r.Protocol == ours {
			theirs = append(theirs, fmt.Sprintf("rule %d oif %s table %d", r.Priority, r.OifName, r.Table))
		}
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	s := newSocket(t, ns)
	addressList, err1 := s.Addresses()
	for _, a := range addressList {
		mine = append(mine, "address "+a.Prefix.String())
	}
	neighborList, err2 := s.Neighbors()
	for _, n := range neighborList {
		mine = append(mine, fmt.Sprintf("neighbour %s %s", n.IP, n.MAC))
	}
	routeList, err3 := s.Routes(ours)
	for _, r := range routeList {
		mine = append(mine, fmt.Sprintf("route %s via %s table %d", r.Dst, r.Via, r.Table))
	}
	ruleList, err4 := s.Rules(ours)
	for _, r := range ruleList {
		mine = append(mine, fmt.Sprintf("rule %d oif %s table %d", r.Priority, r.Link, r.Table))
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for who, got := range map[string][]string{"library": theirs, "socket": mine} {
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("listed by the %s (-want +got):\n%s", who, diff)
		}
	}
}

// A request that fails neither keeps the others from being carried out, nor
// lends them its error.
func TestBatchErrors(t *testing.T) {
	ns, list := space(t)
	other, _ := space(t)
	s := newSocket(t, ns)
	link, _ := makePair(t, s, other)
	var b nl.Batch
	veth := pair
	veth.PeerNamespace = other
	b.AddVeth(veth).OnError(func(err error) error {
		if !errors.Is(err, unix.EEXIST) {
			t.Errorf("error %v, want EEXIST", err)
		}
		return nil // is none here
	})
	b.SetLink(link+1000, nl.LinkChange{Up: true}).OnError(func(err error) error { return fmt.Errorf("bring up nobody: %w", err) })
	b.GetLink("nobody", func(l nl.Link) { t.Errorf("found %v", l) }).OnError(func(err error) error {
		return fmt.Errorf("find nobody: %w", err)
	})
	b.SetLink(link, nl.LinkChange{Up: true})
	err := s.Do(&b)
	if !errors.Is(err, unix.ENODEV) || !strings.HasPrefix(err.Error(), "bring up nobody: ") {
		t.Errorf("error %v, want that of the first that failed", err)
	}
	got, err := list.LinkByIndex(link)
	if err != nil || got.Attrs().Flags&net.FlagUp == 0 {
		t.Errorf("the last request was not carried out: %v, %v", got, err)
	}
	do(t, s, func(b *nl.Batch) { b.GetLinkByIndex(link, func(nl.Link) {}) }) // the socket goes on
}

// More requests than go at once, each of which fails, or answers with a link that
// has as many names as the kernel takes.
func TestLongBatches(t *testing.T) {
	ns, list := space(t)
	other, _ := space(t)
	s := newSocket(t, ns)
	link, _ := makePair(t, s, other)
	alternative := 0
	for ; alternative < 1000; alternative++ {
		name := fmt.Sprintf("%0124d", alternative)
		if err := list.LinkAddAltName(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: link}}, name); err != nil {
			break // no more
		}
	}
	if alternative < 400 {
		t.Fatalf("only %d alternative names", alternative)
	}
	const many = 500
	failed, found := 0, 0
	var b nl.Batch
	for range many {
		b.GetLinkByIndex(link, func(l nl.Link) {
			if l.Name == "here" {
				found++
			}
		})
	}
	for range many {
		b.GetLink("nobody", func(nl.Link) {}).OnError(func(error) error { failed++; return nil })
	}
	if err := s.Do(&b); err != nil || failed != many || found != many {
		t.Errorf("%d failed, %d found, %v; want %d each", failed, found, err, many)
	}
	if links, err := s.Links(); err != nil || len(links) != 2 {
		t.Errorf("links %v, %v; want lo and the one with the names", links, err)
	}
}

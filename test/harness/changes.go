// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// Changes counts what happens in a node's namespace and in those of its pods, by
// the kernel's own report: to links, addresses, routes, rules, neighbours, and
// nftables.
type Changes struct {
	// Moved is how many links went to another namespace. Valid after End, as
	// Kinds.
	Moved int
	// Kinds counts by message type (RTM_NEWLINK; for nftables the subsystem is
	// in the upper byte).
	Kinds map[uint16]int

	t    testing.TB
	node *netns.Handle
	mu   sync.Mutex // guards the counts until the end
	ends []func() error
}

// Watch counts from now on, until End. A pod's namespace is heard of from when
// the node's has an id for it, which those at the paths get here.
func Watch(t testing.TB, node *netns.Handle, pods ...string) *Changes {
	t.Helper()
	socket, err := nl.NewSocket(node)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, path := range pods {
		pod, err := netns.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := socket.NSID(pod); err != nil {
			t.Fatal(err)
		}
		_ = pod.Close()
	}
	c := &Changes{t: t, node: node, Kinds: map[uint16]int{}}
	c.subscribe(unix.NETLINK_ROUTE, c.markLinks, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	c.subscribe(unix.NETLINK_NETFILTER, c.markTables, unix.NFNLGRP_NFTABLES)
	return c
}

// calm is longer than the kernel leaves a link alone before it goes on with it: a
// carrier is told of within a second, and a link-local address is its own after two
// at most.
const calm = 3 * time.Second

// WaitCalm waits until nothing has happened for a while in a node's namespace and in
// those at the paths: the kernel goes on with new links by itself.
func WaitCalm(t testing.TB, node *netns.Handle, pods ...string) {
	t.Helper()
	Eventually(t, time.Minute, func() error {
		c := Watch(t, node, pods...)
		<-time.After(calm)
		c.End()
		if len(c.Kinds) > 0 {
			return fmt.Errorf("things change: messages by type %v", c.Kinds)
		}
		return nil
	})
}

// subscribe reads groups of one protocol in the background. mark makes the last
// event that counts, and gives what takes its cause away.
func (c *Changes) subscribe(protocol int, mark func() (func() error, error), groups ...int) {
	c.t.Helper()
	source, err := nl.Subscribe(c.node, protocol, groups...)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	last, ended := make(chan struct{}), make(chan error, 1)
	over := false
	go func() {
		ended <- source.Run(ctx, func(e nl.Event) {
			switch {
			case over: // what the mark brings along
			case bytes.Contains(e.Data, []byte(lastName)):
				over = true
				close(last)
			default:
				c.take(e)
			}
		})
	}()
	c.t.Cleanup(stop)
	c.ends = append(c.ends, func() error {
		undo, err := mark()
		if err != nil {
			stop()
			return errors.Join(err, <-ended)
		}
		select {
		case <-last:
			stop()
			err = <-ended
		case err = <-ended:
			stop()
			err = errors.Join(errors.New("events ended early"), err)
		}
		return errors.Join(err, source.Close(), undo())
	})
}

// End ends the count, once everything that happened before was counted. Lost
// events make it worthless, which fails the test.
func (c *Changes) End() {
	c.t.Helper()
	for _, end := range c.ends {
		if err := end(); err != nil {
			c.t.Fatalf("events: %v", err)
		}
	}
}

// lastName is a link and a table whose births are the last events that count.
const lastName = "end-of-watch"

func (c *Changes) markLinks() (func() error, error) {
	handle, err := nl.Open(c.node)
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = lastName
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: lastName + "-2"}
	if err := handle.LinkAdd(link); err != nil {
		handle.Close()
		return nil, err
	}
	return func() error {
		defer handle.Close()
		return handle.LinkDel(link)
	}, nil
}

func (c *Changes) markTables() (func() error, error) {
	nft := func(verb string) error {
		return c.node.Do(func() error { return exec.Command("nft", verb, "table", "inet", lastName).Run() })
	}
	return func() error { return nft("delete") }, nft("add")
}

func (c *Changes) take(event nl.Event) {
	const state = 8 // offset of ndm_state
	if (event.Type == unix.RTM_NEWNEIGH || event.Type == unix.RTM_DELNEIGH) &&
		len(event.Data) >= unix.SizeofNdMsg && event.Data[state]&unix.NUD_NOARP != 0 {
		return // of multicast addresses, which the kernel makes and forgets by itself
	}
	moved := event.Type == unix.RTM_DELLINK && leavesFor(event.Data)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Kinds[event.Type]++
	if moved {
		c.Moved++
	}
}

// leavesFor reports whether a link's removal says to which namespace it went
// (IFLA_NEW_NETNSID, rtmsg_ifinfo_newnet in net/core/rtnetlink.c).
func leavesFor(data []byte) bool {
	if len(data) < unix.SizeofIfInfomsg {
		return false
	}
	attrs, err := vnl.ParseRouteAttr(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return false
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_NEW_NETNSID {
			return true
		}
	}
	return false
}

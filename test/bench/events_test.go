// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// events counts what happens in a node's namespace and in those of its pods, by
// the kernel's own report.
type events struct {
	node  *netns.Handle
	stop  context.CancelFunc
	ended chan struct{} // closed once err says how the reading ended
	err   error
	last  chan struct{}

	once  sync.Once // closes last
	mu    sync.Mutex
	moved int            // links that went to another namespace
	kinds map[uint16]int // by RTM_ number
}

// watch counts from now on, until done. A pod's namespace is heard of from when
// the node's has an id for it, which those at the paths get here.
func watch(t *testing.T, node *netns.Handle, pods ...string) *events {
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
	source, err := nl.Subscribe(node, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	e := &events{node: node, stop: stop, ended: make(chan struct{}), last: make(chan struct{}), kinds: map[uint16]int{}}
	go func() {
		defer close(e.ended)
		e.err = source.Run(ctx, e.take)
	}()
	t.Cleanup(func() {
		stop()
		<-e.ended
	})
	return e
}

// lastLink is a link whose birth is the last event that is counted.
const lastLink = "end-of-watch"

// done ends the count, once everything that happened before was counted. Lost
// events make it worthless, which fails the test.
func (e *events) done(t *testing.T) {
	t.Helper()
	handle := rtnl(t, e.node)
	defer handle.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = lastLink
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: lastLink + "-2"}
	if err := handle.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.last:
	case <-e.ended:
		t.Fatalf("events: %v", e.err)
	}
	e.stop()
	<-e.ended
	if err := errors.Join(e.err, handle.LinkDel(link)); err != nil {
		t.Fatalf("events: %v", err)
	}
}

func (e *events) take(event nl.Event) {
	const state = 8 // offset of ndm_state
	if (event.Type == unix.RTM_NEWNEIGH || event.Type == unix.RTM_DELNEIGH) &&
		len(event.Data) >= unix.SizeofNdMsg && event.Data[state]&unix.NUD_NOARP != 0 {
		return // of multicast addresses, which the kernel makes and forgets by itself
	}
	if event.Type == unix.RTM_NEWLINK && bytes.Contains(event.Data, []byte(lastLink)) {
		e.once.Do(func() { close(e.last) })
		return
	}
	moved := event.Type == unix.RTM_DELLINK && leavesFor(event.Data)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kinds[event.Type]++
	if moved {
		e.moved++
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

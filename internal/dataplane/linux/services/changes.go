// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of struct nfgenmsg and the attributes of a generation (linux/netfilter/nf_tables.h).
const (
	messageHeader  = 4
	generationID   = 1 // NFTA_GEN_ID
	newGeneration  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN
	getGeneration  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN
	intervalsKnown = 256
)

// changes tells our own changes of the table from others'. Each transaction of
// nftables ends with an event that has the number of the generation it made; those
// made while we ran nft are ours, but for what somebody else squeezed in.
type changes struct {
	mu      sync.Mutex
	running bool
	own     []interval
	early   []uint32 // generations that touched the table while we ran
	touched bool     // by the transaction of which the events are coming in
	report  func()
}

// interval is the generations after one and up to another, of which one is ours.
type interval struct{ after, upTo uint32 }

// Watch has report called at every change of the table that is not ours, until
// it is called with nil. report returns quickly.
func (t *Table) Watch(report func()) {
	t.changes.mu.Lock()
	defer t.changes.mu.Unlock()
	t.changes.report = report
}

// Event takes an event of nftables in the node's namespace: its message type, its
// data behind the header, and the name of the table it is of. They must come in
// order and from one goroutine.
func (t *Table) Event(kind uint16, data []byte, table string) {
	c := &t.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind != newGeneration {
		c.touched = c.touched || table == TableName
		return
	}
	touched := c.touched
	c.touched = false
	generation, ok := parseGeneration(data)
	switch {
	case !touched:
	case c.running && ok:
		c.early = append(c.early, generation)
	case !ok || !c.isOwn(generation):
		c.tell()
	}
}

func (c *changes) tell() {
	if c.report != nil {
		c.report()
	}
}

// isOwn reports whether the generation is in an interval that has not been seen yet;
// it has been then.
func (c *changes) isOwn(generation uint32) bool {
	at := slices.IndexFunc(c.own, func(i interval) bool { return generation-i.after-1 < i.upTo-i.after })
	if at < 0 {
		return false
	}
	c.own = slices.Delete(c.own, at, at+1)
	return true
}

// begin tells that a transaction of ours follows, until end.
func (c *changes) begin() (end func(), err error) {
	after, err := generation()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = true
	return func() { c.end(after) }, nil
}

func (c *changes) end(after uint32) {
	upTo, err := generation()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	if err == nil && upTo != after && c.report != nil {
		c.own = append(c.own, interval{after, upTo})
		if len(c.own) > intervalsKnown {
			c.own = slices.Delete(c.own, 0, 1)
		}
	}
	for _, generation := range c.early {
		if !c.isOwn(generation) {
			c.tell()
		}
	}
	c.early = nil
}

// generation asks for the number of the last transaction of nftables.
func generation() (uint32, error) {
	request := vnl.NewNetlinkRequest(getGeneration, 0)
	request.AddRawData(make([]byte, messageHeader))
	answers, err := request.Execute(unix.NETLINK_NETFILTER, newGeneration)
	if err != nil {
		return 0, fmt.Errorf("nftables generation: %w", err)
	}
	for _, a := range answers {
		if number, ok := parseGeneration(a); ok {
			return number, nil
		}
	}
	return 0, fmt.Errorf("nftables generation: %d answers without it", len(answers))
}

func parseGeneration(data []byte) (uint32, bool) {
	if len(data) < messageHeader {
		return 0, false
	}
	attributes, err := vnl.ParseRouteAttr(data[messageHeader:])
	if err != nil {
		return 0, false
	}
	for _, a := range attributes {
		if a.Attr.Type&vnl.NLA_TYPE_MASK == generationID && len(a.Value) == 4 {
			return binary.BigEndian.Uint32(a.Value), true
		}
	}
	return 0, false
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// linkLocals is how many link-local addresses an application may have at a
	// time: its own, and one after it was restarted with another MAC.
	linkLocals = 2
	// linkLocalHold is how long it has one at least. The kernel forgets neighbours
	// that nobody uses after as long (gc_stale_time).
	linkLocalHold = time.Minute

	ipv6Len = 40
)

// bounds keep an application from filling the kernel's table of neighbours, which
// is one for the machine. Every other address has a route of its own, by which
// the kernel judges it; link-local ones (RFC 4291, 2.5.6) have their prefix, of
// which whoever speaks, or is spoken to, becomes an entry of the table.
type bounds struct {
	kernel [16]byte

	mu    sync.Mutex
	known [linkLocals]linkLocal
}

type linkLocal struct {
	address [16]byte
	since   time.Time
}

// newBounds are those of a link on which the kernel has the address; nil where it
// has none.
func newBounds(kernel netip.Addr) *bounds {
	if !kernel.IsValid() {
		return nil
	}
	return &bounds{kernel: kernel.As16()}
}

// pass drops the frames that are out of bounds, and gives the others in their
// order. A frame with a VLAN tag is: the kernel takes off that of no VLAN, and
// looks at what is in it.
func (b *bounds) pass(frames [][]byte) [][]byte {
	kept := frames[:0]
	for _, f := range frames {
		if b.within(f, time.Now) {
			kept = append(kept, f)
		}
	}
	return kept
}

func (b *bounds) within(frame []byte, now func() time.Time) bool {
	if len(frame) < etherLen {
		return true
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_8021Q, unix.ETH_P_8021AD:
		return false
	case unix.ETH_P_IPV6:
	default:
		return true
	}
	packet := frame[etherLen:]
	if len(packet) < ipv6Len {
		return true
	}
	if to := packet[24:40]; isLinkLocal(to) && [16]byte(to) != b.kernel {
		return false
	}
	from := packet[8:24]
	return !isLinkLocal(from) || b.knows([16]byte(from), now())
}

// isLinkLocal is Addr.IsLinkLocalUnicast for IPv6.
func isLinkLocal(address []byte) bool { return address[0] == 0xfe && address[1]&0xc0 == 0x80 }

// knows takes a link-local address up if there is room.
func (b *bounds) knows(address [16]byte, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest := &b.known[0]
	for i := range b.known {
		k := &b.known[i]
		if k.address == address {
			return true
		}
		if k.since.Before(oldest.since) {
			oldest = k
		}
	}
	if now.Sub(oldest.since) < linkLocalHold {
		return false
	}
	*oldest = linkLocal{address: address, since: now}
	return true
}

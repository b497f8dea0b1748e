// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

// RxCounters counts what was received on a queue or an interface.
type RxCounters struct {
	Packets, Bytes uint64
	TooLong        uint64 // packets dropped because they were longer than allowed, or than the buffer
	Empty          uint64 // packets dropped because they had no bytes
}

func (c *RxCounters) add(more RxCounters) {
	c.Packets += more.Packets
	c.Bytes += more.Bytes
	c.TooLong += more.TooLong
	c.Empty += more.Empty
}

// TxCounters counts what was sent on a queue or an interface.
type TxCounters struct {
	Packets, Bytes uint64
	TooLong        uint64 // packets dropped because they were longer than allowed, or than the ring holds
	Empty          uint64 // packets dropped because they had no bytes
	Full           uint64 // times that a packet found no room and was left to the caller
	Interrupts     uint64 // times that the peer was woken
}

func (c *TxCounters) add(more TxCounters) {
	c.Packets += more.Packets
	c.Bytes += more.Bytes
	c.TooLong += more.TooLong
	c.Empty += more.Empty
	c.Full += more.Full
	c.Interrupts += more.Interrupts
}

// tally counts by reason.
type tally [reasons]uint64

// byReason gives the counts that are not zero.
func (t *tally) byReason() map[Reason]uint64 {
	m := map[Reason]uint64{}
	for r, n := range t {
		if n > 0 {
			m[Reason(r)] = n
		}
	}
	return m
}

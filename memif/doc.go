// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package memif exchanges packets with another process through shared memory:
// the packet interface of FD.io VPP, libmemif and DPDK (net_memif), protocol
// version 2.0, both roles, in Go. It is for Linux, needs neither cgo nor
// privileges nor huge pages, and in the steady state neither allocates nor calls
// the kernel for a packet.
//
// # Concepts
//
// Two peers meet on a unix socket, the control channel. One is the master (the
// server, most often a switch), which listens; the other is the slave (the
// client, most often an application), which brings the memory. A socket serves
// any number of interfaces, told apart by an id, each for one slave at a time.
//
//   - [Listen] makes a master's socket, a [Listener], and [Listener.Add] an
//     [Interface] on it; [Dial] makes a slave's Interface.
//   - An Interface lasts from then until it is closed. It is connected, and
//     connected again, in the background: when the peer is killed, started
//     later, or replaced.
//   - A [Conn] is one such connection, with its own queues and memory. It ends
//     for a [Reason], which the peer is told (DISCONNECT), unless it is gone.
//   - A queue is a ring of 2 to 16384 slots: a [TxQueue] to send on, an [RxQueue]
//     to receive from. There is at least one of each; how many, and how long, is
//     the slave's wish ([Config]) within the master's limits ([ListenConfig]).
//   - A packet is an Ethernet frame or, in mode [IP], an IP packet, of 1 to 65535
//     bytes. It is in one slot, or in several that are chained, as the slave's
//     buffers are long.
//
// # Moving packets
//
// There are three ways, from the simplest to the fastest:
//
//   - [Interface.Read], ReadBatch, Write and WriteBatch wait, and go on over
//     disconnections.
//   - [RxQueue.Receive] and [TxQueue.Transmit] move bursts, as far as they can at
//     once. Between them [RxQueue.Wait] or [Conn.Wait] sleeps until there is
//     something; or poll and never sleep; or, in an epoll of your own, use
//     [RxQueue.Arm].
//   - [TxQueue.Compose] lets packets that are only being made be written where
//     the peer takes them from; [Forward] moves packets from one Interface to
//     another, by one copy from peer to peer.
//
// Whoever receives decides whether it is interrupted (woken by an eventfd) or
// polls: who sleeps in Wait or is armed is interrupted, nobody else is. The
// protocol has no such thing for senders. A full ring is looked at until it is
// not: WriteBatch does that.
//
// # Buffers
//
// Packets are copied out of and into shared memory, as it can change at any
// moment under whoever looks at it. So a slice that is handed to a method is the
// caller's again when the method returns, and its bytes are nobody else's.
// Receive fills packets into the capacities of the slices it is given, from
// their start, and sets their lengths: the same slices can be used for the next
// burst. Read alone keeps to the length.
//
// # Concurrency
//
// All methods may be called from any goroutine at any time, also while the
// connection ends. Calls for one queue take turns, so that for speed each
// goroutine has queues of its own. Only waiting and reading are for one goroutine
// at a time: per queue for RxQueue.Wait; per Conn for Conn.Wait and
// Interface.ReadBatch, with none in RxQueue.Wait meanwhile.
//
// # Errors
//
// An error of Receive, Transmit, Compose or Forward means that a connection has ended or
// is about to; packets that do not fit are no error, but are counted. Each such
// error wraps a Reason: errors.Is(err, [ErrPeerGone]). The loop of whoever uses
// queues is therefore: [Interface.Connected], use the queues of the Conn until
// there is an error, wait for [Conn.Done], and again, until Connected gives
// [ErrClosed]. [Interface.Status] and [Listener.Refused] count by Reason what has
// happened.
//
// # Trust
//
// A peer is taken to be hostile. What it wrote is read once, checked, and only
// then used; regions must be sealed against shrinking, lie between guard pages,
// and a fault in one (possible after [Config].AcceptUnsealed, or when the machine
// is out of memory) is an error like others. Whatever a peer does ends its
// connection and no other. Handshakes are limited in time, number and rate,
// wrong secrets to one a second. A [ListenConfig].PeerCheck may judge a peer by
// its process. What remains to a hostile peer is what any peer can do: send what
// it likes, or nothing; and it can wake a sleeper as often as it likes.
//
// The memory of a slave is charged to both processes as it is touched:
// [Config].MaxMemory bounds it.
//
// # Peers
//
// Tests run against DPDK in both roles. DPDK with zero-copy=yes needs
// AcceptUnsealed. Texts of other peers end after 31 bytes (names) and 23 bytes
// (secrets).
package memif

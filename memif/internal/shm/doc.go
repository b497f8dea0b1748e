// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package shm is the memory that two memif peers share: regions, the rings in
// them, and the rings' descriptors.
//
// Everything in a region may be rewritten by the peer at any moment. Nothing of
// this package reads a value of the peer's twice, and nothing reads or writes
// outside a region: indexes into a ring are masked, buffers are slices that
// were checked, and each mapping lies between two guard pages.
//
// # Memory order
//
// A ring begins with three words that both peers poll (offsets in bytes):
//
//	 0  cookie  uint32  written by the slave before the ring is announced
//	 4  flags   uint16  written by the receiver of packets
//	 6  head    uint16  written by the slave
//	64  tail    uint16  written by the master
//
// Go has no 16-bit atomics, and flags and head, which share an aligned 32-bit
// word, have different writers when packets go from slave to master. A 32-bit
// store of one of them would put back an old value of the other. Therefore:
//
//   - head and flags are read by an atomic load of their word, and changed by an
//     atomic read-modify-write of it (add, or, and) that leaves the other half
//     as it is. Such an operation is indivisible also against a plain 16-bit
//     store of another processor to half of the word: x86 holds the cache line
//     for the length of a locked instruction, LSE atomics of arm64, AMOs of
//     RISC-V and loong64 and interlocked updates of s390x do likewise, and where
//     the operation is a load-linked/store-conditional loop (older arm64, arm,
//     ppc64, mips, riscv64) any store into the reserved granule, which is never
//     smaller than the word, makes the conditional store fail and the loop
//     start again.
//   - head is moved by adding the difference to the value in memory. The
//     addition carries nothing into flags: where head is the low half
//     (big-endian) the sum of the halves is the new head exactly, where it is
//     the high half (little-endian) the carry falls off the word. One addition
//     cannot be held up by a peer that keeps rewriting flags, as a
//     compare-and-swap loop could.
//   - tail has its word to itself: the two bytes behind it are padding that
//     nobody reads. It is read and written by plain 32-bit atomics, its half
//     shifted to where the machine's byte order has it.
//
// Go's atomics are sequentially consistent. So a peer that sees a new head or
// tail sees the descriptors and bytes stored before it; descriptors and bytes
// read after loading one are at least as new; and "store head, then load flags"
// here is never reordered against "store flags, then load head" there. Peers
// written in C do the latter two with acquire and release only, so that an
// interrupt of theirs may, rarely, not be sent: whoever sleeps on an interrupt
// looks again a moment later.
//
// Descriptors are loaded by atomics too, not for their order but because it
// makes the compiler load each exactly once.
package shm

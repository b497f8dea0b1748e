// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || shbe || sparc || sparc64)

package shm

// Where the halves of a word are, and the flag that masks interrupts.
const (
	headShift        = 16
	tailShift        = 0
	maskBit   uint32 = 1
)

// Where the first fields of a descriptor are in its first eight bytes.
const (
	flagsShift  = 0
	regionShift = 16
	lengthShift = 32
)

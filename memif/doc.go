// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package memif is the shared memory packet interface of FD.io VPP, libmemif
// and DPDK (net_memif), protocol version 2.0, in Go.
package memif

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

// Masked reports whether the receiver of a queue wants no interrupts.
func Masked(q *TxQueue) bool { return q.ring.Masked() }

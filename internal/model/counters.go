// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

// Counters are what passed through a port since the switch has it, seen from there:
// Rx is from the pod, Tx to it. A large segment that passes whole is one packet.
type Counters struct {
	RxPackets uint64 `json:"rxPackets"`
	RxBytes   uint64 `json:"rxBytes"`
	RxErrors  uint64 `json:"rxErrors"`
	RxDrops   uint64 `json:"rxDrops"`
	TxPackets uint64 `json:"txPackets"`
	TxBytes   uint64 `json:"txBytes"`
	TxErrors  uint64 `json:"txErrors"`
	TxDrops   uint64 `json:"txDrops"`
}

// Counters are those of a memif.
func (s MemifStatus) Counters() Counters {
	return Counters{
		RxPackets: s.RxPackets, RxBytes: s.RxBytes, RxErrors: s.RxErrors, RxDrops: s.RxDrops,
		TxPackets: s.TxPackets, TxBytes: s.TxBytes, TxErrors: s.TxErrors, TxDrops: s.TxDrops,
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// linkStatistics are those of one link.
type linkStatistics struct {
	index    int
	counters model.Counters
}

// Statistics lists what links have received and sent, by their numbers (IFLA_STATS64).
func (s *Socket) Statistics() (map[int]model.Counters, error) {
	list, err := dump(s, newMessage(unix.RTM_GETLINK, 0, linkHeader(0, 0, 0)...), parseStatistics)
	if err != nil {
		return nil, fmt.Errorf("list statistics: %w", err)
	}
	found := make(map[int]model.Counters, len(list))
	for _, l := range list {
		found[l.index] = l.counters
	}
	return found, nil
}

// parseStatistics reads struct rtnl_link_stats64 (linux/if_link.h): 64-bit numbers,
// packets, bytes, errors and drops of each direction first.
func parseStatistics(data []byte) (l linkStatistics, ok bool) {
	const fields, width = 8, 8
	if len(data) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.index = int(int32(binary.NativeEndian.Uint32(data[4:])))
	for kind, value := range attributes(data[unix.SizeofIfInfomsg:]) {
		if kind != unix.IFLA_STATS64 || len(value) < fields*width {
			continue
		}
		number := func(n int) uint64 { return binary.NativeEndian.Uint64(value[n*width:]) }
		l.counters = model.Counters{
			RxPackets: number(0), TxPackets: number(1), RxBytes: number(2), TxBytes: number(3),
			RxErrors: number(4), TxErrors: number(5), RxDrops: number(6), TxDrops: number(7),
		}
		ok = true
	}
	return l, ok
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"fmt"
	"testing"

	"github.com/polynic/polynic/memif"
)

const burst = 64

// packets makes a burst of packets.
func packets(n, length int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, length)
	}
	return all
}

// BenchmarkForward is the cross-connect of two masters: per packet one copy from
// the memory of one slave to that of another. The slaves' ends, a copy each, are
// outside of the clock.
func BenchmarkForward(b *testing.B) {
	for _, length := range []int{64, 512, 1518} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			masterA, slaveA := pair(b, memif.Config{})
			masterB, slaveB := pair(b, memif.Config{})
			from, to := connected(b, slaveA).TxQueues()[0], connected(b, slaveB).RxQueues()[0]
			src, dst := connected(b, masterA).RxQueues()[0], connected(b, masterB).TxQueues()[0]
			sent, received := packets(512, length), packets(512, 2048)
			b.SetBytes(int64(length))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				b.StopTimer()
				in, err := from.Transmit(sent[:min(len(sent), b.N-n)])
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for moved := 0; moved < in; {
					k, err := memif.Forward(dst, src, burst)
					if err != nil || k == 0 {
						b.Fatal(k, err)
					}
					moved += k
				}
				b.StopTimer()
				if out, err := to.Receive(received); err != nil || out != in {
					b.Fatal(out, in, err)
				}
				b.StartTimer()
				n += in
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpps")
		})
	}
}

// BenchmarkLoop sends and receives in one goroutine: two copies per packet.
func BenchmarkLoop(b *testing.B) {
	for _, length := range []int{64, 512, 1518} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			master, slave := pair(b, memif.Config{})
			tx, rx := connected(b, slave).TxQueues()[0], connected(b, master).RxQueues()[0]
			sent, received := packets(burst, length), packets(burst, 2048)
			b.SetBytes(int64(length))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += burst {
				if k, err := tx.Transmit(sent); err != nil || k != burst {
					b.Fatal(k, err)
				}
				if k, err := rx.Receive(received); err != nil || k != burst {
					b.Fatal(k, err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpps")
		})
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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

// lengths are those of small packets, of full ones, and of some in five buffers.
func lengths() []int { return []int{64, 512, 1500, 9000} }

// report says how long a packet took.
func report(b *testing.B, took time.Duration) {
	b.Helper()
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/packet")
	b.ReportMetric(float64(b.N)/took.Seconds()/1e6, "Mpps")
	b.ReportMetric(0, "ns/op") // would be that of the benchmark's own work too
}

// BenchmarkForward is the cross-connect of two masters: per packet one copy from
// the memory of one slave to that of another. The slaves' ends, a copy each, are
// outside of the clock.
func BenchmarkForward(b *testing.B) {
	for _, length := range lengths() {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			c := newChain(b)
			sent, received := packets(burst, length), packets(burst, length)
			var took time.Duration
			b.ReportAllocs()
			for n := 0; n < b.N; n += burst {
				if k, err := c.tx.Transmit(sent); err != nil || k != burst {
					b.Fatal(k, err)
				}
				start := time.Now()
				if k, err := memif.Forward(c.dst, c.src, burst); err != nil || k != burst {
					b.Fatal(k, err)
				}
				took += time.Since(start)
				if k, err := c.rx.Receive(received); err != nil || k != burst {
					b.Fatal(k, err)
				}
			}
			report(b, took)
		})
	}
}

// BenchmarkLoop sends and receives in one goroutine: two copies per packet.
func BenchmarkLoop(b *testing.B) {
	for _, length := range lengths() {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			master, slave := pair(b, memif.Config{})
			tx, rx := connected(b, slave).TxQueues()[0], connected(b, master).RxQueues()[0]
			sent, received := packets(burst, length), packets(burst, length)
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
			report(b, b.Elapsed())
		})
	}
}

// BenchmarkPingPong sends a packet back and forth between two goroutines that
// sleep while there is none: two wakes per round.
func BenchmarkPingPong(b *testing.B) {
	master, slave := pair(b, memif.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	echoed := make(chan error)
	go func() { echoed <- echoAll(ctx, slave) }()
	p := make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := master.Write(b.Context(), p); err != nil {
			b.Fatal(err)
		}
		if _, err := master.Read(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	cancel()
	if err := <-echoed; !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
}

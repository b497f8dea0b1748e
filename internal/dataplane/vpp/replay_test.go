// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"net/netip"
	"testing"
	"time"

	"go.fd.io/govpp/binapi/memclnt"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
)

// BenchmarkReplay fills a VPP that was killed with memifs, of which nothing is the
// kernel's, and compares with what VPP takes for as many messages that do nothing.
func BenchmarkReplay(b *testing.B) {
	const pods, messages = 250, 11 // of each memif, in two families
	w, p := onVPP(b)
	hits := w.hits()
	await(b, hits, "there", isBack)
	for n := range pods {
		a := w.attachment(n % 24)
		a.ID.ContainerID = a.ID.ContainerID[:60] + string([]byte{'a' + byte(n/26), 'a' + byte(n%26), 'x', 'x'})
		a.Interfaces = a.Interfaces[2:3]
		a.Interfaces[0].Addresses[0] = addressOf(n)
		a.Interfaces[0].Addresses = a.Interfaces[0].Addresses[:1]
		objects, err := w.node.Attachment(a)
		if err != nil {
			b.Fatal(err)
		}
		w.want.Add(objects...)
	}
	if err := w.repair(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		p.Kill()
		await(b, hits, "away", isAway)
		p.Start(b)
		await(b, hits, "back", isBack)
		b.StartTimer()
		start := time.Now()
		if err := w.repair(); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		b.ReportMetric(float64(took.Microseconds())/pods, "µs/interface")
		b.ReportMetric(pings(b, w, pods*messages).Seconds()/took.Seconds(), "of-pings")
	}
	if diff := w.differs(); diff != "" {
		b.Error(diff)
	}
}

// pings is how long VPP takes for so many.
func pings(b *testing.B, w *wired, n int) time.Duration {
	b.Helper()
	client := vppapi.NewClient(vppapi.Options{Socket: w.api})
	defer client.Close()
	var batch vppapi.Batch
	for range n {
		batch.Call(&memclnt.ControlPing{}, &memclnt.ControlPingReply{})
	}
	conn, err := client.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := conn.Do(b.Context(), &batch); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// addressOf is the n-th pod's.
func addressOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 1, byte(2 + n)}) }

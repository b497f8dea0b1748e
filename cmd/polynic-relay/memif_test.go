// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/busy"
)

// TestMemifsSurviveKilledWorkers: 20 attachments, of which every two are
// connected with each other, under load.
func TestMemifsSurviveKilledWorkers(t *testing.T) {
	const attachments, kills = 20, 3
	own := newSpace(t)
	p := start(t, own.Handle)
	folder := t.TempDir()
	for i := range attachments {
		port := relayapi.MemifPort{
			ID: fmt.Sprint(i), Peer: fmt.Sprint(i ^ 1), Memif: uint32(i), Mode: relayapi.MemifEthernet, MTU: 1500, Secret: "secret",
			Socket: relayapi.MemifSocket{Folder: folder, Name: "memif.sock", QueuePairs: 1, RingSize: 1024},
		}
		if err := p.client.AttachMemifs(t.Context(), []relayapi.MemifPort{port})[0]; err != nil {
			t.Fatal(err)
		}
	}
	p.client.Close()
	flows := make([]*flow, attachments/2)
	for i := range flows {
		flows[i] = newFlow(t, filepath.Join(folder, "memif.sock"), uint32(2*i))
	}
	if p95 := killWorkers(t, p, flows, kills); p95 > busy.Stretch(500*time.Millisecond) {
		t.Errorf("95 of 100 are back after %v, want 500ms at most", p95)
	}
}

// killWorkers kills workers, and gives how long of 100 flows 95 are away at most.
func killWorkers(t *testing.T, p *process, flows []*flow, kills int) (p95 time.Duration) {
	t.Helper()
	var outages []time.Duration
	for range kills {
		grown := time.Now().Add(time.Second) // what dies younger is not started again at once for ever
		for _, f := range flows {
			f.next(t, grown)
		}
		worker, begin := p.worker(t), time.Now()
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for _, f := range flows {
			outages = append(outages, f.next(t, begin))
		}
		if p.worker(t) == worker {
			t.Error("the worker was not replaced")
		}
	}
	slices.Sort(outages)
	p95 = outages[len(outages)*95/100]
	t.Logf("%d attachments: packets came again after %v (median), %v (95 of 100), %v (longest)",
		2*len(flows), outages[len(outages)/2], p95, outages[len(outages)-1])
	return p95
}

// flow is two applications, one of which sends to the other all the time.
type flow struct {
	mu     sync.Mutex
	sent   time.Time // when the newest packet that arrived was sent
	came   chan struct{}
	failed error
}

// newFlow connects two applications, and runs them until the test ends.
func newFlow(t *testing.T, socket string, id uint32) *flow {
	t.Helper()
	f := &flow{came: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i, run := range []func(context.Context, *memif.Interface) error{f.send, f.receive} {
		app, err := memif.Dial(socket, memif.Config{ID: id + uint32(i), Secret: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if err := run(ctx, app); err != nil && ctx.Err() == nil {
				f.fail(err)
			}
			_ = app.Close()
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if f.failed != nil {
			t.Error(f.failed)
		}
	})
	return f
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}

// send sends packets with the time and a checksum, some 2,000 a second.
func (f *flow) send(ctx context.Context, app *memif.Interface) error {
	tick := time.NewTicker(time.Millisecond / 2)
	defer tick.Stop()
	packet := make([]byte, 1000)
	for ctx.Err() == nil {
		binary.BigEndian.PutUint64(packet[4:], uint64(time.Now().UnixNano()))
		binary.BigEndian.PutUint32(packet, crc32.ChecksumIEEE(packet[4:]))
		if _, err := app.Write(ctx, packet); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

func (f *flow) receive(ctx context.Context, app *memif.Interface) error {
	packet := make([]byte, memif.MaxPacket)
	for {
		n, err := app.Read(ctx, packet)
		if err != nil {
			return err
		}
		if n != 1000 || binary.BigEndian.Uint32(packet) != crc32.ChecksumIEEE(packet[4:n]) {
			return errors.New("a packet arrived damaged")
		}
		f.mu.Lock()
		f.sent = time.Unix(0, int64(binary.BigEndian.Uint64(packet[4:])))
		f.mu.Unlock()
		select {
		case f.came <- struct{}{}:
		default:
		}
	}
}

// next waits for a packet that was sent after a moment, and gives how long after
// that it came.
func (f *flow) next(t *testing.T, after time.Time) time.Duration {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		arrived := f.sent.After(after)
		f.mu.Unlock()
		if arrived {
			return time.Since(after)
		}
		select {
		case <-f.came:
		case <-timeout:
			t.Fatal("no packet came")
		}
	}
}

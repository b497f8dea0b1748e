// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sinkBuffer is the receive buffer of a sink: what it does not read at once is
// not to be taken for lost on the way.
const sinkBuffer = 64 << 20

// untilStdinEnds calls end when the test closes our standard input.
func untilStdinEnds(end func()) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
}

func udpSink() error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sinkBuffer)
		})
	}}
	packets, err := config.ListenPacket(context.Background(), "udp", net.JoinHostPort(os.Getenv("ADDRESS"), "0"))
	if err != nil {
		return err
	}
	conn := packets.(*net.UDPConn)
	fmt.Println(conn.LocalAddr())
	const drain = 200 * time.Millisecond
	untilStdinEnds(func() { _ = conn.SetReadDeadline(time.Now().Add(drain)) })
	var r Report
	drained := uint64(0)
	seen := map[uint64]bool{}
	last := time.Time{}
	buffer := make([]byte, 2048)
	for {
		n, err := conn.Read(buffer)
		// After its deadline nothing is read that is there, however long it waited for us.
		if errors.Is(err, os.ErrDeadlineExceeded) && r.Received > drained {
			drained = r.Received
			if err := conn.SetReadDeadline(time.Now().Add(drain)); err != nil {
				return err
			}
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return json.NewEncoder(os.Stdout).Encode(r)
		}
		if err != nil {
			return err
		}
		now := time.Now()
		if !last.IsZero() {
			r.LongestGapMS = max(r.LongestGapMS, float64(now.Sub(last).Microseconds())/1000)
		}
		last = now
		if n < 8 {
			return fmt.Errorf("datagram of %d bytes", n)
		}
		number := binary.BigEndian.Uint64(buffer)
		if seen[number] {
			return fmt.Errorf("datagram %d came twice", number)
		}
		seen[number] = true
		r.Received++
	}
}

// udpSource sends numbered datagrams in a burst every millisecond. What it had no
// processor for it makes up for in bursts of ten milliseconds' worth at most: a queue
// on the way overflows by more.
func udpSource() error {
	rate, err := strconv.Atoi(os.Getenv("RATE"))
	if err != nil {
		return err
	}
	conn, err := net.Dial("udp", os.Getenv("ADDRESS"))
	if err != nil {
		return err
	}
	fmt.Println("sending")
	var ended atomic.Bool
	untilStdinEnds(func() { ended.Store(true) })
	var r Report
	datagram := make([]byte, 64)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for !ended.Load() {
		<-tick.C
		due := uint64(time.Since(begin).Seconds() * float64(rate))
		for last := min(due, r.Sent+uint64(max(1, rate/100))); r.Sent < last && !ended.Load(); r.Sent++ {
			binary.BigEndian.PutUint64(datagram, r.Sent)
			if _, err := conn.Write(datagram); err != nil {
				return fmt.Errorf("datagram %d: %w", r.Sent, err)
			}
		}
	}
	r.Seconds = time.Since(begin).Seconds()
	return json.NewEncoder(os.Stdout).Encode(r)
}

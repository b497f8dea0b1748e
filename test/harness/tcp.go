// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// block is what a TCP flow is made of: numbers that count up, so that the sink
// sees every byte that is wrong.
const block = 64 << 10

func tcpSink() error {
	listener, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("ADDRESS"), "0"))
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	var r Report
	from := bufio.NewReaderSize(conn, block)
	last := time.Now()
	for number := uint64(0); ; number++ {
		var word [8]byte
		if _, err := io.ReadFull(from, word[:]); errors.Is(err, io.EOF) {
			return json.NewEncoder(os.Stdout).Encode(r)
		} else if err != nil {
			return fmt.Errorf("after %d bytes: %w", r.Received, err)
		}
		if got := binary.BigEndian.Uint64(word[:]); got != number {
			return fmt.Errorf("word %d reads %d", number, got)
		}
		r.Received += 8
		if number%1024 == 0 {
			now := time.Now()
			r.LongestGapMS = max(r.LongestGapMS, float64(now.Sub(last).Microseconds())/1000)
			last = now
		}
	}
}

func tcpSource() error {
	conn, err := net.Dial("tcp", os.Getenv("ADDRESS"))
	if err != nil {
		return err
	}
	fmt.Println("connected")
	var ended atomic.Bool
	untilStdinEnds(func() { ended.Store(true) })
	var r Report
	data := make([]byte, block)
	for number := uint64(0); !ended.Load(); {
		for at := 0; at < len(data); at += 8 {
			binary.BigEndian.PutUint64(data[at:], number)
			number++
		}
		n, err := conn.Write(data)
		r.Sent += uint64(n)
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", r.Sent, err)
		}
	}
	if err := conn.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/polynic/polynic/memif"
)

// Who runs it sees why it is not connected.
func TestTheReasonIsSaid(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "memif.sock")
	listener, err := memif.Listen(memif.ListenConfig{Address: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := listener.Add(memif.Config{ID: 0, Secret: "right"}); err != nil {
		t.Fatal(err)
	}
	port, err := memif.Dial(socket, memif.Config{ID: 0, Secret: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var complaining sync.WaitGroup
	complaining.Go(func() { complain(ctx, in, "m1", port) })
	line, err := bufio.NewReader(out).ReadString('\n')
	stop()
	out.Close()
	complaining.Wait()
	if err != nil || !strings.HasPrefix(line, "memif-echo: interface m1 is not connected: ") || !strings.Contains(line, "wrong secret") {
		t.Errorf("%q (%v), want the interface and the reason", line, err)
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package port_test

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/test/port"
)

// A port that is kept is free for who has its number, again and again, refuses who
// connects meanwhile, and is given to nobody who asks for any.
func TestKeep(t *testing.T) {
	address := port.Keep(t)
	for range 3 {
		if conn, err := net.Dial("tcp", address); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("connected to nobody: %v, %v", conn, err)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("tcp", address); err != nil {
			t.Error(err)
		} else {
			_ = conn.Close()
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
	var others []net.Listener
	defer func() {
		for _, l := range others {
			_ = l.Close()
		}
	}()
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if others = append(others, l); l.Addr().String() == address {
			t.Fatalf("%s was given to another", address)
		}
	}
}

// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppcli_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/unixsock"
	"github.com/polynic/polynic/internal/vppcli"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What VPP 25.10 sends to whoever comes: it will echo, not go ahead, wants to
// know the window's size and the terminal's type.
var greeting = []byte{255, 251, 3, 255, 251, 1, 255, 253, 31, 255, 253, 24, 255, 250, 24, 1, 255, 240}

// serve is VPP for one session: it greets, waits for a line, and sends what it is
// given, in the pieces that it is given in.
func serve(t *testing.T, pieces ...string) (socket string, heard func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "cli.sock")
	listener, err := unixsock.Listen(t.Context(), socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		defer close(said)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		said <- session(conn, pieces)
	}()
	t.Cleanup(func() {
		listener.Close()
		for range said { // until the session is over
		}
	})
	return socket, func() string { return <-said }
}

func session(conn net.Conn, pieces []string) string {
	for _, b := range greeting { // one by one: options come in pieces
		if _, err := conn.Write([]byte{b}); err != nil {
			return err.Error()
		}
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		return err.Error()
	}
	for _, piece := range pieces {
		if _, err := conn.Write([]byte(piece)); err != nil {
			return err.Error()
		}
	}
	return string(buffer[:n])
}

func TestACommand(t *testing.T) {
	socket, heard := serve(t, "vpp v25", ".10\n\xff\xfb\x01built\n", "\x00")
	var out bytes.Buffer
	if err := vppcli.Run(t.Context(), socket, " show version\n", &out); err != nil {
		t.Fatal(err)
	}
	if want := "vpp v25.10\nbuilt\n"; out.String() != want {
		t.Errorf("it printed %q, want %q", out.String(), want)
	}
	if want := "\xff\xfa\x18\x00vppctl\xff\xf0show version\n"; heard() != want {
		t.Errorf("VPP heard something else than %q", want)
	}
}

func TestACommandThatPrintsNothing(t *testing.T) {
	socket, _ := serve(t, "\x00")
	var out bytes.Buffer
	if err := vppcli.Run(t.Context(), socket, "clear interfaces", &out); err != nil || out.Len() != 0 {
		t.Errorf("%v, and it printed %q", err, &out)
	}
}

func TestErrors(t *testing.T) {
	cut, _ := serve(t, "half an ans")
	none := filepath.Join(t.TempDir(), "none.sock")
	for _, c := range []struct{ socket, command, want string }{
		{none, "show version", "VPP's command line at " + none + ": "},
		{cut, "show version", "VPP ended the session before it answered"},
		{cut, "", "VPP takes one command of one line"},
		{cut, "show version\nquit", "VPP takes one command of one line"},
	} {
		err := vppcli.Run(t.Context(), c.socket, c.command, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.command, err, c.want)
		}
	}
}

// A VPP that hangs is left when the caller has had enough.
func TestAHungVPP(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "cli.sock")
	listener, err := unixsock.Listen(t.Context(), socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	accepted := make(chan net.Conn)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			t.Error(err)
		}
		cancel()
		accepted <- conn
	}()
	if err := vppcli.Run(ctx, socket, "show version", &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	(<-accepted).Close()
}
